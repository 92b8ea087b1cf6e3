"""What is written down of a tar file is what it holds, or counts for nothing."""

import pyarrow as pa
import pytest

from twofold.data import listing
from twofold.data.listing import Shard, classes_beside, kept, load, save

SHARD = Shard(["a/x.jpg", "y.tar.png"], [(512, 10), (1536, 7)], {"a/x": "3"})


def test_what_is_saved_is_loaded(tmp_path):
    (tmp_path / "a.tar").write_bytes(bytes(4096))
    assert kept(tmp_path / "a.tar") is None
    save(tmp_path / "a.arrow", SHARD, 4096)
    assert kept(tmp_path / "a.tar") == SHARD
    assert [SHARD.label(name) for name in SHARD.names] == ["3", None]
    (tmp_path / "a.tar").write_bytes(bytes(4097))
    assert kept(tmp_path / "a.tar") is None


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
