"""What stands under an image's name need not be an image, or of any size."""

import importlib
import io
import os
import resource
import signal
import socket
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from PIL import Image

import twofold
from tests.cli.running import twofold as command
from tests.conftest import encoded, picture, tiny
from tests.data.making import fill
from tests.killing import in_a_child
from twofold.data import bounds, tiff
from twofold.data.decode import Unreadable, decode
from twofold.data.opening import open_data
from twofold.errors import UsageError

ENOUGH = 300
"""seconds in which none of this can have hung"""


@contextmanager
def in_time():
    """Fails if the block hangs."""

    def hangs(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(ENOUGH)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sparse(path, size):
    path.touch()
    os.truncate(path, size)


@pytest.fixture
def odd(tmp_path):
    """Eight pictures among a pipe, a link to a device, a socket, a folder, a file of a terabyte, and dead links."""
    root = tmp_path / "photos"
    fill(root, [f"{number}.png" for number in range(8)])
    os.mkfifo(root / "pipe.png")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    (root / "round.png").symlink_to(root / "round.png")
    (root / "folder.png").mkdir()
    sparse(root / "giant.png", 1 << 40)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket.png")
        os.close(here)
    return root


REASONS = {
    "giant.png": "the file takes 1 TiB, and an image at most 256 MiB (TWOFOLD_IMAGE_MIB)",
    "gone.png": "No such file or directory",
    "pipe.png": "a pipe, not a regular file",
    "round.png": "Too many levels of symbolic links",
    "socket.png": "No such device or address",
    "zero.png": "a device, not a regular file",
}


def test_only_regular_files_are_read(odd, tmp_path, capsys):
    with in_time():
        found = twofold.scan(odd)["train"]
        assert dict(found.bad) == REASONS
        assert found.images == 14
        settings = tiny("simclr", data=str(odd), limit=0, epochs=1, batch_size=4, max_unreadable=0.5)
        run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
        code, out, _ = command(capsys, "embed", run.path, odd, "--out", tmp_path / "v.parquet")
    assert code == 0
    assert "6 images cannot be read and are left out:" in out
    assert "pipe.png: a pipe, not a regular file" in out


@pytest.mark.parametrize("name", ["data.npy", "data.npz", "data.parquet", "data.tar", "data"])
def test_data_may_not_be_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with in_time(), pytest.raises(UsageError, match=r"neither a folder nor a (regular file|\.csv)"):
        open_data(tmp_path / name)


@pytest.mark.parametrize("name", ["data.parquet", "data.tar"])
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with in_time(), pytest.raises(UsageError, match="there are no images"):
        open_data(tmp_path)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, kind=2):
    """A whole PNG file of zeros, of which no more than its header says how large it is."""
    row = bytes(1 + width * depth // 8 * {0: 1, 2: 3}[kind])
    packer = zlib.compressobj(1)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def lying_png(depth):
    whole = bytearray(png(8, 8, depth))
    whole[16:33] = chunk(b"IHDR", struct.pack(">II", 60_000, 60_000) + bytes(whole[24:29]))[8:]
    return bytes(whole)


def lying_gif():
    whole = bytearray(encoded(picture(8, 8), "GIF"))
    struct.pack_into("<HH", whole, 6, 65535, 65535)
    return bytes(whole)


def lying_jpeg():
    whole = encoded(picture(8, 8), "JPEG")
    place = whole.index(b"\xff\xc0") + 5
    return whole[:place] + struct.pack(">HH", 65000, 65000) + whole[place + 4 :]


def lying_tiff(**how):
    """The header of a picture of 60,000 x 60,000 pixels on the data of one of 8 x 8."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8), how.pop("dtype", np.uint16)), **how)
    content = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as opened:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            found = opened.pages[0].tags[tag]
            struct.pack_into("<H" if found.dtype == 3 else "<I", content, found.valueoffset, 60_000)
    return bytes(content)


def lying_npy(shape=(1 << 20, 1 << 20)):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def bmp(width, height):
    whole = bytearray(encoded(picture(8, 8), "BMP"))
    struct.pack_into("<ii", whole, 18, width, height)
    return bytes(whole)


LYING = {
    "png": lambda: lying_png(8),
    "png of 16 bits": lambda: lying_png(16),
    "gif": lying_gif,
    "jpeg": lying_jpeg,
    "bmp": lambda: bmp(60_000, 60_000),
    "tiff of 8 bits": lambda: lying_tiff(dtype=np.uint8),
    "tiff of 16 bits": lying_tiff,
    "tiff, compressed": lambda: lying_tiff(compression="zlib"),
    "npy": lying_npy,
    "ppm": lambda: b"P6 60000 60000 255\n" + bytes(100),
}


def grown(work):
    """By how many bytes the most memory that a process has had grows while it does this."""
    reading, writing = os.pipe()

    def measured():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        os.write(writing, b"%d" % ((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10))

    assert in_a_child(measured) == 0
    size = int(os.read(reading, 99))
    os.close(reading)
    os.close(writing)
    return size


@pytest.mark.parametrize("kind", LYING)
def test_a_lying_header_gets_no_memory(kind):
    file = LYING[kind]()

    def read():
        with pytest.raises(Unreadable):
            decode(file)

    assert grown(read) < 64 << 20


def test_a_large_picture_is_refused_by_its_header_unless_more_is_asked_for(monkeypatch):
    """A valid one of 13,300 x 13,300 pixels takes 2.3 GB while it is decoded."""
    file = png(13_300, 13_300)

    def read():
        with pytest.raises(Unreadable, match="TWOFOLD_IMAGE_MIB"):
            decode(file)

    assert grown(read) < 64 << 20
    wide = png(60_000, 30, kind=0)
    monkeypatch.setenv("TWOFOLD_IMAGE_MIB", "5")
    with pytest.raises(Unreadable, match=r"an image of 60000 x 30 pixels takes 5\.15 MiB, and an image at most 5 MiB"):
        decode(wide)
    monkeypatch.setenv("TWOFOLD_IMAGE_MIB", "6")
    assert decode(wide).shape == (3, 30, 60_000)


@pytest.mark.parametrize("codecs", [True, False])
def test_a_strip_that_unpacks_to_more_than_it_says_is_refused(monkeypatch, codecs):
    """With imagecodecs, and as tifffile does without it."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8), np.uint16), compression="zlib")
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    content = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as opened:
        for tag, value in (("StripByteCounts", len(bomb)), ("StripOffsets", len(content))):
            found = opened.pages[0].tags[tag]
            struct.pack_into("<H" if found.dtype == 3 else "<I", content, found.valueoffset, value)
    if not codecs:
        monkeypatch.setattr(tiff, "CODECS", False)
        monkeypatch.setattr(tifffile.tifffile, "imagecodecs", importlib.import_module("tifffile._imagecodecs"))

    def read():
        with pytest.raises(Unreadable):
            decode(bytes(content) + bomb)

    assert grown(read) < 64 << 20


def test_more_than_pillow_permits_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode(png(100, 100, kind=0)).shape == (3, 100, 100)


@pytest.mark.parametrize("value", ["many", "0", "-1", "1e3", "9" * 5000])
def test_the_limit_is_a_number(monkeypatch, tmp_path, capsys, value):
    fill(tmp_path, ["a.png"])
    monkeypatch.setenv("TWOFOLD_IMAGE_MIB", value)
    code, _, said = command(capsys, "scan", tmp_path)
    assert (code, said.count("\n")) == (2, 1)
    assert "TWOFOLD_IMAGE_MIB must be a whole number of MiB above 0" in said


def test_a_resident_run_does_not_ask_for_more_than_there_is(tmp_path, capsys, monkeypatch):
    """All images are padded to the largest; 8 of 3000 x 3000 pixels are 216 MB here, more than the machine has."""
    fill(tmp_path / "a", [f"{number}.png" for number in range(7)])
    (tmp_path / "a" / "wide.png").write_bytes(png(3000, 3000))
    monkeypatch.setattr(bounds, "memory", lambda: 100 << 20)
    words = ("pretrain", tmp_path / "a", "--method", "simclr", "--out", tmp_path / "run", "--resident", "yes")
    code, _, said = command(capsys, *words)
    assert code == 2
    assert said.splitlines()[-1].startswith("twofold: 8 images, padded to the largest, ")
    assert "--resident no" in said
    assert not (tmp_path / "run").exists()


def test_an_npz_is_read_no_further_than_its_header_permits(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", lying_npy())
    with pytest.raises(UsageError, match="shorter than its header says"):
        open_data(tmp_path / "a.npz")
    (tmp_path / "a.npy").write_bytes(lying_npy())
    with pytest.raises(UsageError, match="shorter than its header says"):
        open_data(tmp_path / "a.npy")


def npz(path, **arrays):
    """Arrays by name, given as their shapes, of zeros that are packed a thousand to one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, shape in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for _ in range(shape[0]):
                    member.write(bytes(int(np.prod(shape[1:]))))


def test_a_zip_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    """It becomes a thousand times as much, more than this machine has. What has another name is not read at all."""
    bomb = (64, 1024, 1024)
    npz(tmp_path / "a.npz", images=(3, 8, 8, 3), other=bomb)
    npz(tmp_path / "b.npz", images=bomb)
    assert (tmp_path / "b.npz").stat().st_size < 1 << 17
    monkeypatch.setattr(bounds, "memory", lambda: 48 << 20)

    def refused():
        with pytest.raises(UsageError, match=r"images in .* takes 64 MiB, and this machine has 48 MiB"):
            open_data(tmp_path / "b.npz")

    assert grown(lambda: open_data(tmp_path / "a.npz")) < 16 << 20
    assert grown(refused) < 16 << 20


def test_no_memory_says_nothing_about_an_image(tmp_path, monkeypatch, capsys):
    """Where there is none left, images are not left out one after the other."""
    fill(tmp_path, ["a.png", "b.png"])

    def none(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", none)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", none)
    code, _, said = command(capsys, "scan", tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("twofold: out of memory")


def test_nothing_runs_another_program(tmp_path, monkeypatch, capsys):
    """PostScript under an image's name would be given to Ghostscript, of which this is a stand-in."""
    script = tmp_path / "bin" / "gs"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"
    fill(tmp_path / "photos", ["a.png"])
    (tmp_path / "photos" / "b.png").write_bytes(postscript)
    (tmp_path / "photos" / "a_mask.png").write_bytes(postscript)
    assert twofold.scan(tmp_path / "photos")["train"].bad == [("b.png", "not an image")]
    data = open_data(tmp_path / "photos").train
    with pytest.raises(UsageError, match=r"the mask .* cannot be read"):
        data.mask(data.masked[0])
    assert not (tmp_path / "ran").exists()
    with pytest.raises(OSError), Image.open(tmp_path / "photos" / "b.png") as image:  # noqa: PT011
        image.load()
    assert (tmp_path / "ran").exists()
