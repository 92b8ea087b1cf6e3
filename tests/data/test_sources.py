"""What sources share."""

import pytest

from twofold.data.decode import Unreadable
from twofold.data.sources import WHOLE, Contents, modified, number


def test_contents_are_those_of_all_or_of_64():
    read = []

    def tried(index):
        read.append(index)
        if index == 7:
            raise Unreadable("broken")
        contents.note(index, bytes([index]))

    contents = Contents(100)
    contents.note(50, b"read before")
    assert len(contents.digests(tried)) == 64
    assert 50 not in read
    every = contents.digests(tried, every=True)
    assert (len(every), every[7], len({*every})) == (100, "", 100)
    assert Contents(100).digests(lambda index: None) == [""] * 64


def test_no_more_than_a_limit_is_noted_beside_the_64(monkeypatch):
    monkeypatch.setattr("twofold.data.sources.WHOLE", 10)
    contents = Contents(1000)
    for index in range(1000):
        contents.note(index, bytes(5))
    noted = [found for found in contents.digests(lambda index: None, every=True) if found]
    assert 64 <= len(noted) <= 66
    assert WHOLE == 256 << 20


def test_a_file_that_is_not_there_has_no_time(tmp_path):
    assert modified(tmp_path / "gone") == 0


@pytest.mark.parametrize("values", [["9" * 5000, "1"], ["10", "9", "x"], ["2", "10"]])
def test_classes_are_numbered_whatever_they_are(values):
    numbers, classes = number(values)
    assert [classes[index] for index in numbers] == values
    assert classes == (["2", "10"] if values == ["2", "10"] else sorted(values))
