"""Folders, tar shards, Parquet: what is read, and what tells it from other data."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import encoded, picture
from tests.data.making import fill, parquet, tar
from twofold.data.decode import decode
from twofold.data.opening import open_data
from twofold.data.scan import scan
from twofold.errors import UsageError


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


def test_tar_shards(tmp_path):
    images = {name: encoded(picture(16, 16, i)) for i, name in enumerate("abcd")}
    for shard, keys in enumerate(("ab", "cd")):
        files = {f"{k}.png": images[k] for k in keys} | {f"{k}.cls": str(10 * i).encode() for i, k in enumerate(keys)}
        tar(tmp_path / f"shard-{shard:03d}.tar", files)
    data = open_data(f"{tmp_path}/shard-{{000..001}}.tar")
    assert [data.train.name(i) for i in range(4)] == ["a.png", "b.png", "c.png", "d.png"]
    assert np.array_equal(data.train.image(2), decode(images["c"]))
    assert list(data.train.labels) == [0, 1, 0, 1]
    assert data.train.classes == ["0", "10"]
    assert len(open_data(tmp_path).train) == 4  # a folder of shards
    tar(tmp_path / "names.tar", {"cat/1.png": images["a"], "dog/1.png": images["b"]})
    assert open_data(tmp_path / "names.tar").train.classes == ["cat", "dog"]
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(UsageError, match=r"broken\.tar"):
        open_data(tmp_path / "broken.tar")


def test_parquet(tmp_path):
    parquet(tmp_path / "train-00000-of-00002.parquet", 3)
    parquet(tmp_path / "train-00001-of-00002.parquet", 2, start=3)
    parquet(tmp_path / "test-00000-of-00001.parquet", 2, start=50)
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 2)
    assert data.train.classes == ["cat", "dog"]
    assert np.array_equal(data.train.image(4), np.moveaxis(picture(16, 16, 4), -1, 0))
    assert data.train.label(1) == 1
    pq.write_table(pa.table({"img": [encoded(picture(8, 8))], "text": ["x"]}), tmp_path / "bare.parquet")
    bare = open_data(tmp_path / "bare.parquet").train
    assert bare.labels is None
    assert bare.image(0).shape == (3, 8, 8)
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "none.parquet")
    with pytest.raises(UsageError, match=r"none\.parquet"):
        open_data(tmp_path / "none.parquet")


def test_large_parquet_is_mapped_from_the_cache(tmp_path, monkeypatch):
    parquet(tmp_path / "train-0.parquet", 3)
    parquet(tmp_path / "train-1.parquet", 2, start=3)
    small = open_data(tmp_path).train
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("twofold.data.encoded.IN_MEMORY", 0)
    for _ in range(2):  # made, then found
        mapped = open_data(tmp_path).train
        assert [mapped.read(i) for i in range(5)] == [small.read(i) for i in range(5)]
        assert mapped.labels == small.labels
        assert mapped.fingerprint() == small.fingerprint()
    assert len(list((tmp_path / "cache" / "parquet").iterdir())) == 1
