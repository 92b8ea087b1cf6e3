"""What a name of data stands for."""

import pytest

from twofold.data.names import braces, check_there
from twofold.data.opening import open_data
from twofold.errors import UsageError


def test_a_pattern_stands_for_its_names():
    assert braces("a") == ["a"]
    assert braces("a{08..11}.tar") == ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]
    assert braces("{1..2}-{3..4}") == ["1-3", "1-4", "2-3", "2-4"]


def test_what_is_not_a_file_of_this_machine_is_not_looked_for():
    for name in ("digits", "python:list", "hf:owner/name", "torchvision:CIFAR10", "s3://bucket/a.tar"):
        check_there(name)


@pytest.mark.parametrize("name", ["nowhere", "digit", "no/where", "{0..1}.tar", "x" * 5000])
def test_what_is_not_there_is_refused_as_it_is_when_it_is_opened(name):
    said = []
    for look in (check_there, open_data):
        with pytest.raises(UsageError) as raised:
            look(name)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "pattern", ["{0000000000..9999999999}.tar", "a{0..999}b{0..999}c{0..999}.tar", "{1..%s}.tar" % ("9" * 18)]
)
def test_a_pattern_of_too_many_names_is_refused(pattern):
    with pytest.raises(UsageError, match=r"names [\d,]+ files, more than 100,000"):
        open_data(pattern)


@pytest.mark.parametrize("pattern", ["{9..1}.tar", "{1..%s}.tar" % ("9" * 5000), "{..}.tar", "{a..b}.tar"])
def test_a_pattern_of_no_name_is_said(pattern):
    with pytest.raises(UsageError, match=r"names no file|there is no|File name too long"):
        open_data(pattern)
