"""Packing: any data become shards with the same images and labels, killed or not; nothing else is overwritten."""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twofold
from tests.cli.running import twofold as command
from tests.conftest import encoded, picture
from tests.data.making import fill, parquet, tar
from tests.killing import KILLED
from twofold.data.opening import open_data
from twofold.data.sources import Array
from twofold.errors import UsageError
from twofold.outputs import pack as packing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch):
    """A shard has few images."""
    monkeypatch.setattr(packing, "MIB", 4096)


def same(one, other):
    """Whether two sources have the same images and labels."""
    assert len(one) == len(other)
    assert one.classes == other.classes
    for number in range(len(one)):
        assert np.array_equal(one.image(number), other.image(number))
        assert one.image(number).dtype == other.image(number).dtype
        assert one.label(number) == other.label(number)


def folder(root):
    fill(root, [f"{kind}/{number}.{end}" for kind in ("ant", "bee") for number in range(5) for end in ("jpg", "png")])


def parts(root):
    fill(root, [f"train/{kind}/{number}.png" for kind in ("ant", "bee", "cow") for number in range(3)])
    fill(root, [f"test/{kind}/{number}.png" for kind in ("bee", "cow") for number in range(2)])


def plain(root):
    fill(root, [f"{number}.png" for number in range(7)])


def floats(root):
    root.mkdir()
    for number in range(5):
        np.save(root / f"{number}.npy", np.random.default_rng(number).normal(size=(5, 9, 8)).astype(np.float32))


def columns(root):
    root.mkdir()
    parquet(root / "a.parquet", 6, names=("zebra", "ant", "nowhere"))  # not in order, and one without an image


@pytest.mark.parametrize("make", [folder, parts, plain, floats, columns])
def test_packed_data_are_the_same(make, tmp_path, small):
    make(tmp_path / "data")
    done = twofold.pack(tmp_path / "data", tmp_path / "shards", shard_mib=1)
    before, after = open_data(tmp_path / "data"), open_data(tmp_path / "shards")
    same(before.train, after.train)
    assert (before.test is None) == (after.test is None)
    if before.test and after.test:
        same(before.test, after.test)
    assert done.shards == len(list((tmp_path / "shards").glob("*.tar"))) > 1
    assert done.images == len(before.train) + len(before.test or [])
    if make is folder:  # files are copied as they are
        files = [before.train.file(number) for number in range(20)]
        assert [after.train.file(number) for number in range(20)] == files
        assert {after.train.name(number)[-4:] for number in range(20)} == {".jpg", ".png"}


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_pixels_of_every_kind_are_packed_as_they_are(channels, kind, tmp_path):
    random = np.random.default_rng(0)
    images = (
        random.integers(0, 255, (3, channels, 7, 9)).astype(kind)
        if kind != np.float32
        else random.normal(size=(3, channels, 7, 9)).astype(kind)
    )
    if (channels, kind) == (1, np.uint8):  # of 8 bits, an image of one channel is one of three everywhere
        images = images.repeat(3, 1)
    twofold.pack(Array(images, [2, 0, 2], ["a", "b", "c"]), tmp_path / "shards")
    same(Array(images, [2, 0, 2], ["a", "b", "c"]), open_data(tmp_path / "shards").train)


def test_longer_images_become_smaller(tmp_path):
    sizes = {"jpg": (60, 90), "png": (90, 60), "bmp": (20, 30)}
    for ending, size in sizes.items():
        kind = {"jpg": "JPEG"}.get(ending, ending.upper())
        path = tmp_path / "data" / f"{ending}.{ending}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(picture(*size), kind))
    twofold.pack(tmp_path / "data", tmp_path / "shards", longest=30)
    source = open_data(tmp_path / "shards").train
    assert [source.name(number) for number in range(3)] == ["000000000.bmp", "000000001.jpg", "000000002.png"]
    assert [source.image(number).shape for number in range(3)] == [(3, 20, 30), (3, 20, 30), (3, 30, 20)]
    assert source.file(0) == (tmp_path / "data" / "bmp.bmp").read_bytes()  # small as it is
    with Image.open(tmp_path / "data" / "png.png") as image:
        expected = np.moveaxis(np.asarray(image.resize((20, 30), Image.Resampling.BILINEAR)), -1, 0).astype(int)
    assert np.abs(source.image(2) - expected).max() <= 1
    deep = Array(np.full((1, 2, 64, 64), 65535, np.uint16))
    twofold.pack(deep, tmp_path / "deep", longest=16)
    assert np.array_equal(open_data(tmp_path / "deep").train.image(0), np.full((2, 16, 16), 65535, np.uint16))


def test_others_find_what_they_expect_of_webdataset(tmp_path):
    """Members of one key follow each other; labels are numbers; the checksum is that of the file."""
    folder(tmp_path / "data")
    twofold.pack(tmp_path / "data", tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "shard-000000.tar") as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    assert [name for name, _ in members[:4]] == ["000000000.jpg", "000000000.cls", "000000001.png", "000000001.cls"]
    assert {content for name, content in members if name.endswith(".cls")} == {b"0", b"1"}
    assert len({name for name, _ in members}) == 40
    _, row = map(json.loads, (tmp_path / "shards" / "index.jsonl").read_text().splitlines())
    content = (tmp_path / "shards" / "shard-000000.tar").read_bytes()
    assert row["blake2b"] == hashlib.blake2b(content, digest_size=16).hexdigest()
    for path in tmp_path.glob("shards/*"):
        if path.suffix != ".tar":
            path.unlink()  # only the names of the classes are lost
    same_labels = open_data(tmp_path / "shards").train
    assert (same_labels.classes, same_labels.label(19)) == (["0", "1"], 1)


def test_a_listing_counts_as_long_as_its_shard_is_the_same(tmp_path, monkeypatch):
    plain(tmp_path / "data")
    twofold.pack(tmp_path / "data", tmp_path / "shards")
    monkeypatch.setattr(tarfile, "open", None)  # the shard is not looked through
    assert len(open_data(tmp_path / "shards").train) == 7
    monkeypatch.undo()
    tar(tmp_path / "shards" / "shard-000000.tar", {"a.png": encoded(picture(8, 8))})
    assert len(open_data(tmp_path / "shards").train) == 1
    (tmp_path / "shards" / "shard-000000.arrow").write_bytes(b"damaged")
    assert len(open_data(tmp_path / "shards").train) == 1


def test_what_cannot_be_read_is_left_out_and_said(tmp_path, capsys):
    plain(tmp_path / "data")
    for number in (0, 3, 6):
        (tmp_path / "data" / f"{number}.png").write_bytes(b"no image")
    words = ["pack", tmp_path / "data", "--out", tmp_path / "shards"]
    code, out, _ = command(capsys, *words)
    assert code == 0
    assert out.splitlines()[0].startswith(f"{tmp_path}/shards has 4 images in 1 shard, ")
    assert out.splitlines()[1:] == ["3 images cannot be read and are left out:"] + [
        f"  {number}.png: not an image" for number in (0, 3, 6)
    ]
    _, again, _ = command(capsys, *words)
    assert again.splitlines()[0].startswith(f"{tmp_path}/shards has 4 images in 1 shard (1 of them were there before)")
    assert again.splitlines()[1:] == out.splitlines()[1:]
    for path in (tmp_path / "data").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UsageError, match="not one of 7 images can be read"):
        twofold.pack(tmp_path / "data", tmp_path / "none")


def test_nothing_of_others_is_overwritten(tmp_path, capsys):
    plain(tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shard-000000.tar").write_text("mine")
    twofold.pack(tmp_path / "data", tmp_path / "shards")
    for out, words, said in (
        (tmp_path / "mine", [], "shard-000000.tar, which is no shard of this command"),
        (tmp_path / "data", [], "which is no shard of this command"),
        (tmp_path / "data" / "0.png", [], "is no folder"),
        (tmp_path / "shards", ["--longest", "8"], "were packed with other longest"),
        (tmp_path / "new", ["--longest", "0"], "longest must be at least 1"),
    ):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        code, _, err = command(capsys, "pack", tmp_path / "data", "--out", out, *words)
        assert (code, said in err) == (2, True), err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    fill(tmp_path / "data", ["new.png"])
    with pytest.raises(UsageError, match="were packed with other data"):
        twofold.pack(tmp_path / "data", tmp_path / "shards")
    (tmp_path / "data" / "new.png").unlink()
    index = (tmp_path / "shards" / "index.jsonl").read_text()
    for line in ("no table\n", "{}\n", "3\n"):
        (tmp_path / "shards" / "index.jsonl").write_text(index + line)
        with pytest.raises(UsageError, match=r"index\.jsonl is damaged"):
            twofold.pack(tmp_path / "data", tmp_path / "shards")
    (tmp_path / "shards" / "index.jsonl").write_text(index)
    (tmp_path / "shards" / "shard-000000.tar").unlink()
    with pytest.raises(UsageError, match="is not as it was packed"):
        twofold.pack(tmp_path / "data", tmp_path / "shards")


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path):
    folder(tmp_path / "data")
    for number in (0, 4):
        (tmp_path / "data" / "ant" / f"{number}.png").write_bytes(b"no image")
    line = [sys.executable, "-m", "tests.outputs.pack_driver", tmp_path / "data", tmp_path]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    expected = {path.name: path.read_bytes() for path in (tmp_path / "straight").iterdir()}
    assert len(expected) > 6
    for name, codes in said["codes"].items():
        assert codes == ([0] if name in ("straight", "again and again") else [KILLED, 0]), name
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == expected, name
    assert said["before"]["before a shard's rename"] == 1
    assert said["before"]["after a shard"] == 1


def test_what_shards_do_not_hold_is_said(tmp_path):
    fill(tmp_path, ["0.jpg", "1.jpg", "2.jpg"])
    table = tmp_path / "t.csv"
    table.write_text("path,label,group\n0,a,x\n1,b,x\n2,NA,y\n")
    labels, groups = "labels are not packed, as some images have none", "groups are not packed"
    notes = packing.pack(table, tmp_path / "some").notes
    assert labels in notes
    assert any(note.startswith(groups) for note in notes)
    table.write_text("path,label\n0,a\n1,b\n2,b\n")
    assert not [note for note in packing.pack(table, tmp_path / "all").notes if "not packed" in note]
