"""What is written down of a tar file is what it holds, or counts for nothing."""

import os

import pyarrow as pa
import pytest

from twofold.data import listing
from twofold.data.listing import Shard, classes_beside, listed, load, save

SHARD = Shard(["a/x.jpg", "y.tar.png"], [(512, 10), (1536, 7)], {"a/x": "3"})


def looked(calls, shard=SHARD):
    """A look through a tar file that is noted."""

    def look(place):
        calls.append(place)
        return shard

    return look


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.tar").write_bytes(bytes(4096))
    return tmp_path / "a.tar"


def test_the_listing_beside_a_shard_counts_as_long_as_it_has_that_size(place):
    calls = []
    save(place.with_suffix(".arrow"), SHARD, 4096)
    assert listed(place, looked(calls)) == SHARD
    assert [SHARD.label(name) for name in SHARD.names] == ["3", None]
    assert calls == []
    place.write_bytes(bytes(4097))
    listed(place, looked(calls))
    assert calls == [place]


def test_a_shard_of_many_is_looked_through_once(place, monkeypatch):
    calls = []
    for _ in range(2):
        assert listed(place, looked(calls)) == SHARD
    assert len(calls) == 2  # it has few
    monkeypatch.setattr(listing, "MANY", 2)
    for _ in range(2):
        assert listed(place, looked(calls)) == SHARD
    assert len(calls) == 3
    os.utime(place, (0, 0))
    listed(place, looked(calls))
    assert len(calls) == 4
    os.utime(place, (1, 1))
    for _ in range(2):
        listed(place, looked(calls, Shard([*SHARD.names], [*SHARD.places], cut=True)))
    assert len(calls) == 6  # what there is to say of it is said each time


def test_what_cannot_be_kept_is_looked_through_each_time(place, monkeypatch, tmp_path):
    monkeypatch.setattr(listing, "MANY", 1)
    calls, odd = [], Shard([os.fsdecode(b"caf\xe9.png")], [(512, 3)])
    (tmp_path / "file").write_text("no folder")
    for shard, cache in ((odd, "cache"), (SHARD, "file")):
        monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / cache))
        for _ in range(2):
            assert listed(place, looked(calls, shard)) == shard
    assert len(calls) == 4


@pytest.mark.parametrize("places", [[(-1, 10)], [(0, -1)], [(4000, 200)], [(2**62, 2**62)]])
def test_places_outside_the_shard_count_for_nothing(places, tmp_path):
    save(tmp_path / "a.arrow", Shard(["a.jpg"], places), 4096)
    assert load((tmp_path / "a.arrow").read_bytes(), 4096) is None


def test_anything_else_counts_for_nothing(tmp_path):
    save(tmp_path / "a.arrow", SHARD, 4096)
    whole = (tmp_path / "a.arrow").read_bytes()
    assert load(whole, 4096) == SHARD
    others = [b"", b"no listing", whole[:-20], whole[: len(whole) // 2]]
    for columns in ({"name": ["a"]}, {"name": [1], "offset": ["x"], "length": [None], "label": ["a"]}):
        with pa.BufferOutputStream() as file, pa.ipc.new_file(file, pa.table(columns).schema) as writer:
            writer.write_table(pa.table(columns).replace_schema_metadata({b"bytes": b"4096"}))
        others.append(file.getvalue().to_pybytes())
    assert [load(other, 4096) for other in others] == [None] * len(others)


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"twofold": "pack"}', '{"twofold": "pack", "classes": {"a": 3}}', "[" * 100_000]
)
def test_an_index_without_classes_names_none(line, tmp_path):
    (tmp_path / listing.INDEX).write_text(line + "\n")
    assert classes_beside([tmp_path / "a-000000.tar"]) is None


def test_an_index_names_the_classes_of_its_folder(tmp_path):
    (tmp_path / listing.INDEX).write_text('{"twofold": "pack", "classes": {"a": ["x", "y"]}}\n')
    assert classes_beside([tmp_path / "a-000000.tar", tmp_path / "a-000001.tar"]) == ["x", "y"]
    assert classes_beside([tmp_path / "b-000000.tar"]) is None
    assert classes_beside([tmp_path / "a-000000.tar", tmp_path / "elsewhere" / "a-000000.tar"]) is None
