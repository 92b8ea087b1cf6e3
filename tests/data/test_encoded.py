"""Folders, tar shards, Parquet: what is read, and what tells it from other data."""

import os

from tests.conftest import encoded, picture
from tests.data.making import fill
from twofold.data.opening import open_data
from twofold.data.scan import scan


def test_names_need_not_be_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"no image")
    assert scan(tmp_path)["train"].bad[0][0].encode("utf-8").startswith(b"caf")


def test_fingerprints_see_contents(tmp_path):
    """Uncompressed images of one size have files of one size."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.bmp").write_bytes(encoded(picture(8, 8, ord(folder)), "BMP"))
    first, second = (open_data(tmp_path / folder).train.fingerprint() for folder in ("a", "b"))
    assert first != second


def test_a_fingerprint_changes_with_the_data(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    before = open_data(tmp_path).train.fingerprint()
    assert open_data(tmp_path).train.fingerprint() == before
    fill(tmp_path, ["c.png"])
    assert open_data(tmp_path).train.fingerprint() != before
