"""Parts that are not twofold's own, by package.module:name."""

import json

import pytest

from twofold.errors import UsageError
from twofold.recipe.foreign import is_foreign, load


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("package.module:Class", True),
        ("module:function", True),
        ("resnet18", False),
        ("python:", False),
        (":Class", False),
        ("hf:owner/name", False),
        ("C:\\images", False),
        ("a..b:c", False),
    ],
)
def test_a_colon_between_a_module_and_a_name(name, foreign):
    assert is_foreign(name) == foreign


def test_the_object_is_had():
    assert load("json:dumps", "a function") is json.dumps
    assert load("os.path:join", "a function")("a", "b") == "a/b"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("resnet18", None, "'resnet18' does not name a backbone: write package.module:name"),
        ("no_such_module:x", None, "a backbone 'no_such_module:x' cannot be imported: ModuleNotFoundError"),
        ("part_that_fails:x", "raise ValueError('two\\nlines')", "cannot be imported: ValueError: two lines"),
        ("part_without:nett", "net = 1", "part_without has no 'nett'; did you mean net"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(name, text, words, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    if text:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(text)
    with pytest.raises(UsageError, match=words) as said:
        load(name, "a backbone")
    assert "\n" not in str(said.value)
