"""Tar files: what is read of them, and what is left out is said."""

import io
import os
import tarfile

import numpy as np
import pytest

from tests.cli.running import twofold as command
from tests.conftest import encoded, picture
from tests.data.making import tar
from twofold.data.decode import Unreadable, decode
from twofold.data.opening import open_data
from twofold.data.shards import LABEL_BYTES
from twofold.errors import UsageError

IMAGE = encoded(picture(16, 16))


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


def special(path, *members):
    """A tar file of members (name, type, content or name of what is linked)."""
    with tarfile.open(path, "w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                archive.addfile(info)


def test_hard_links_are_read_and_other_links_are_counted(tmp_path, capsys):
    special(
        tmp_path / "a.tar",
        ("cat/a.png", tarfile.REGTYPE, IMAGE),
        ("dog/b.png", tarfile.LNKTYPE, "cat/a.png"),
        ("dog/c.png", tarfile.LNKTYPE, "cat/gone.png"),
        ("dog/d.png", tarfile.SYMTYPE, "../cat/a.png"),
        ("dog/e.png", tarfile.FIFOTYPE, ""),
    )
    data = open_data(tmp_path / "a.tar")
    assert [data.train.name(i) for i in range(len(data.train))] == ["cat/a.png", "dog/b.png"]
    assert np.array_equal(data.train.image(1), decode(IMAGE))
    assert data.notes == ("3 images in a.tar were passed over: links to nothing before them, or files with holes",)
    code, out, _ = command(capsys, "scan", tmp_path / "a.tar")
    assert (code, data.notes[0] in out.splitlines()) == (0, True)


@pytest.mark.parametrize("cut", [100, 700, 1100, 1024 + 512])
def test_the_members_before_a_cut_are_used(tmp_path, cut):
    """Inside a content, inside a header, before the last member, and behind it, where only the end is missing."""
    names = [f"{number}.png" for number in range(4)]
    tar(tmp_path / "a.tar", dict.fromkeys(names, IMAGE))
    with tarfile.open(tmp_path / "a.tar") as archive:
        starts = [member.offset for member in archive]
    whole = (tmp_path / "a.tar").read_bytes()
    end = starts[3] - 1024 + cut
    (tmp_path / "a.tar").write_bytes(whole[:end])
    data = open_data(tmp_path / "a.tar")
    left = [name for name, start in zip(names, starts, strict=True) if start + 512 + len(IMAGE) <= end]
    assert 1 <= len(left) < 4
    assert [data.train.name(i) for i in range(len(data.train))] == left
    assert all(np.array_equal(data.train.image(i), decode(IMAGE)) for i in range(len(left)))
    assert data.notes == (f"a.tar is cut or damaged: the {len(left)} images before that place are used",)


def test_a_missing_end_and_a_damaged_header_are_said(tmp_path):
    tar(tmp_path / "a.tar", {"0.png": IMAGE, "1.png": IMAGE})
    with tarfile.open(tmp_path / "a.tar") as archive:
        second = archive.getmembers()[1]
    whole = (tmp_path / "a.tar").read_bytes()
    end = second.offset_data + -(-second.size // 512) * 512
    (tmp_path / "a.tar").write_bytes(whole[:end])
    assert open_data(tmp_path / "a.tar").notes == ("a.tar is cut or damaged: the 2 images before that place are used",)
    (tmp_path / "a.tar").write_bytes(whole[: second.offset] + b"\x07" * 512 + whole[second.offset + 512 :])
    data = open_data(tmp_path / "a.tar")
    assert (len(data.train), len(data.notes)) == (1, 1)


def test_a_giant_label_is_not_read(tmp_path, monkeypatch):
    """It has three gigabytes, which are a hole in the file."""
    monkeypatch.setenv("TWOFOLD_IMAGE_MIB", "1")
    giant = tarfile.TarInfo("a.cls")
    giant.size = 3 << 30
    image = tarfile.TarInfo("a.png")
    image.size = len(IMAGE)
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(image.tobuf() + IMAGE + bytes(-len(IMAGE) % 512) + giant.tobuf())
        file.truncate(file.tell() + giant.size + 1024)
    data = open_data(tmp_path / "a.tar")
    assert (len(data.train), data.train.labels) == (1, None)
    assert data.notes == (
        f"1 .cls files in a.tar were passed over: longer than {LABEL_BYTES} bytes, they are no labels",
    )


def test_a_giant_member_is_unreadable(tmp_path):
    image = tarfile.TarInfo("a.png")
    image.size = 3 << 30
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(image.tobuf())
        file.truncate(512 + image.size + 1024)
    with pytest.raises(Unreadable, match=r"the file takes 3 GiB, and an image at most 256 MiB \(TWOFOLD_IMAGE_MIB\)"):
        open_data(tmp_path / "a.tar").train.image(0)


def test_classes_that_are_not_utf8_stay_apart(tmp_path):
    tar(tmp_path / "a.tar", {"a.png": IMAGE, "a.cls": b"\xff", "b.png": IMAGE, "b.cls": b"\xfe\n"})
    assert open_data(tmp_path / "a.tar").train.classes == [r"\xfe", r"\xff"]
    tar(tmp_path / "b.tar", {os.fsdecode(b"\xe9/a.png"): IMAGE, "x\x1b[2J/b\n.png": IMAGE})
    data = open_data(tmp_path / "b.tar").train
    assert (data.classes, data.name(1)) == ([r"\xe9", r"x\x1b[2J"], r"x\x1b[2J/b\x0a.png")


def test_a_replaced_shard_is_seen(tmp_path, monkeypatch):
    images = [encoded(picture(8, 8, seed), "BMP") for seed in range(2)]
    prints = []
    for image in images:
        tar(tmp_path / "a.tar", {"a.bmp": image})
        prints.append(open_data(tmp_path / "a.tar").train.fingerprint())
    assert prints[0] != prints[1]
    monkeypatch.setattr("twofold.data.encoded.WHOLE", 0)
    before = open_data(tmp_path / "a.tar").train.fingerprint()
    os.utime(tmp_path / "a.tar", (0, 0))
    assert open_data(tmp_path / "a.tar").train.fingerprint() != before
