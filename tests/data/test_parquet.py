"""Parquet files: what is read of them, and what tells them from others."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import encoded, picture
from tests.data.making import parquet
from twofold.data.opening import open_data
from twofold.errors import UsageError


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


def test_a_column_names_the_parts(tmp_path, monkeypatch):
    """As one of a table does. The labels of a part count if all its images have one."""
    parts = ["Train", "test", "train", "other", "train", "test"]
    columns = {
        "image": [encoded(picture(8, 8, number)) for number in range(6)],
        "split": parts,
        "label": ["b", "a", "a", None, "b", "a"],
    }
    pq.write_table(pa.table(columns), tmp_path / "all.parquet", row_group_size=4)
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table(columns | {"split": ["train"] * 6}), whole)
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    for most in (4 << 30, 0):  # in memory, mapped
        monkeypatch.setattr("twofold.data.parquet.IN_MEMORY", most)
        data = open_data(tmp_path / "all.parquet")
        assert [data.train.name(i) for i in range(3)] == ["row 0", "row 2", "row 4"]
        assert np.array_equal(data.test.image(1), np.moveaxis(picture(8, 8, 5), -1, 0))
        assert (list(data.train.labels), data.train.classes) == ([1, 0, 1], ["a", "b"])
        assert (list(data.test.labels), data.test.classes) == ([0, 0], ["a", "b"])
        assert data.notes == ("images of other parts than train and test are left out (train 3, test 2, other 1)",)
        assert data.train.fingerprint() != data.test.fingerprint()
    undivided = open_data(whole)
    assert (len(undivided.train), undivided.test) == (6, None)
    assert undivided.notes == ("no image has a label: all must have one, but 1 of 6 have none",)
    pq.write_table(pa.table(columns).rename_columns(["image", "split", "kind"]), tmp_path / "kind.parquet")
    assert (
        "no column of kind.parquet is called label, so no image has one (columns: kind)"
        in open_data(tmp_path / "kind.parquet").notes
    )


def test_parts_may_be_texts_of_any_kind_and_differ_between_files(tmp_path):
    """As pandas writes them: categories, and a column without any text as one of nulls. Of two columns split counts."""
    images = [encoded(picture(8, 8, number)) for number in range(4)]
    for number, parts in enumerate(
        (
            pa.array(["train", "test", "val", None]).dictionary_encode(),
            pa.nulls(4),
            pa.array(["test"] * 4, pa.large_string()),
        )
    ):
        columns = {"image": images, "subset": ["x", "y"] * 2, "split": parts, "label": [0, -1, 1, 1]}
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    pq.write_table(pa.table({"image": images, "label": [0, 1, 0, 1]}), tmp_path / "3.parquet")
    data = open_data(f"{tmp_path}/{{0..3}}.parquet")
    assert [data.train.name(0), data.test.name(0)] == ["row 0", "row 2"]  # the part whose rows all have a label
    assert data.test.labels == [0]
    assert any("none 9, test 5, train 1, val 1" in note for note in data.notes)
    (tmp_path / "files").mkdir()
    for name in ("train", "test"):
        columns = {"image": images, "split": ["train", "val", "test", "test"]}
        pq.write_table(pa.table(columns), tmp_path / "files" / f"{name}-0.parquet")
    files = open_data(tmp_path / "files")
    assert (len(files.train), len(files.test)) == (4, 4)  # the files are the parts


def test_many_parts_are_not_all_named(tmp_path):
    images = [encoded(picture(8, 8))] * 300
    pq.write_table(pa.table({"image": images, "part": [str(number) for number in range(300)]}), tmp_path / "a.parquet")
    (said,) = open_data(tmp_path / "a.parquet").notes
    assert said.endswith("(0 1, 1 1, 2 1, 3 1, 4 1 and 295 other parts)")


def test_large_parquet_is_mapped_from_the_cache(tmp_path, monkeypatch):
    parquet(tmp_path / "train-0.parquet", 3)
    parquet(tmp_path / "train-1.parquet", 2, start=3)
    small = open_data(tmp_path).train
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("twofold.data.parquet.IN_MEMORY", 0)
    for _ in range(2):  # made, then found
        mapped = open_data(tmp_path).train
        assert [mapped.read(i) for i in range(5)] == [small.read(i) for i in range(5)]
        assert mapped.labels == small.labels
        assert mapped.fingerprint() == small.fingerprint()
    assert len(list((tmp_path / "cache" / "parquet").iterdir())) == 1


def test_a_replaced_file_of_the_same_size_and_time_is_seen(tmp_path):
    """Up to 256 MiB the contents are looked at, so no time is needed, and a copy elsewhere is the same data."""
    (tmp_path / "other").mkdir()
    for seed, path in ((1, tmp_path / "a.parquet"), (2, tmp_path / "other" / "a.parquet")):
        images = [encoded(picture(8, 8, seed), "BMP")]
        pq.write_table(pa.table({"image": images}), path, compression="none", use_dictionary=False)
    first, second = tmp_path / "a.parquet", tmp_path / "other" / "a.parquet"
    assert first.stat().st_size == second.stat().st_size
    before, other = open_data(first).train.fingerprint(), open_data(second).train.fingerprint()
    os.utime(first, (0, 0))
    assert open_data(first).train.fingerprint() == before != other


def test_of_large_files_names_sizes_and_times_count(tmp_path, monkeypatch):
    monkeypatch.setattr("twofold.data.parquet.WHOLE", 0)
    parquet(tmp_path / "a.parquet", 2)
    before = open_data(tmp_path / "a.parquet").train.fingerprint()
    assert open_data(tmp_path / "a.parquet").train.fingerprint() == before
    os.utime(tmp_path / "a.parquet", (0, 0))
    assert open_data(tmp_path / "a.parquet").train.fingerprint() != before


def test_a_name_need_not_be_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    parquet(tmp_path / "a.parquet", 3)
    (tmp_path / "a.parquet").rename(folder / os.fsdecode(b"\xff.parquet"))
    assert open_data(folder).train.image(2).shape == (3, 16, 16)


def test_names_of_columns_that_are_no_text_are_said(tmp_path):
    """As fuzzing found it."""
    pq.write_table(pa.table({"image": [encoded(picture(8, 8))]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"image", b"im\xffge"))
    with pytest.raises(UsageError, match=r"a\.parquet cannot be read as Parquet: [^\n]*$"):
        open_data(tmp_path / "a.parquet")


def test_the_column_of_images_is_said_where_several_hold_files(tmp_path):
    front, back = ([encoded(picture(8, 8, number + start)) for number in range(2)] for start in (0, 10))
    pq.write_table(pa.table({"back": back, "image": front, "label": [0, 1]}), tmp_path / "t.parquet")
    data = open_data(tmp_path / "t.parquet")
    assert np.array_equal(np.moveaxis(data.train.image(1), 0, -1), picture(8, 8, 1))
    assert data.notes == ("images are taken from column image, and not from back",)
    pq.write_table(pa.table({"image": ["a.jpg"]}), tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="has no column of images"):
        open_data(tmp_path / "none.parquet")
