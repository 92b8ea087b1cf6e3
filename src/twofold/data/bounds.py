"""How large one image may be, and files that are read no further than that.

An image's file, and its pixels once it is decoded, take at most 256 MiB, which is 89 million pixels of three channels.
``TWOFOLD_IMAGE_MIB`` in the environment is another number of MiB, for rasters that are larger. Sizes are those that an
image's header gives, so nothing is allocated for an image that is refused. While an image is decoded it takes a few
times as much memory as afterwards.
"""

import io
import math
import os
import stat
from pathlib import Path
from typing import IO

import numpy as np

from twofold.errors import UsageError

VARIABLE = "TWOFOLD_IMAGE_MIB"
DEFAULT = 256
MIB = 1 << 20
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class Refused(Exception):
    """A file or an image that is not read, with the reason."""


def most() -> int:
    """How many bytes an image may take.

    Raises:
        UsageError: if the variable is no whole number above 0.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT)
    if not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise UsageError(f"{VARIABLE} must be a whole number of MiB above 0, not {text!r}")
    return int(text) * MIB


def check(size: int, what: str) -> None:
    """
    Raises:
        Refused: if an image would take more than so many bytes; ``what`` is what takes them, in words.
    """
    if size > most():
        raise Refused(f"{what} takes {in_words(size)}, and an image at most {in_words(most())} ({VARIABLE})")


def check_pixels(height: int, width: int, each: int) -> None:
    """
    Raises:
        Refused: if an image of that size, with so many bytes a pixel, is too large.
    """
    check(height * width * each, f"an image of {width} x {height} pixels")


def in_words(size: int) -> str:
    """Bytes as people say them."""
    power = min(4, max(0, size.bit_length() - 1) // 10)
    return f"{size / 1024**power:,.4g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def memory() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_file(path: str | Path, first: int | None = None) -> bytes:
    """The bytes of a regular file, or only so many of the ``first`` ones. A pipe or a device is not waited for.

    Raises:
        OSError: if it cannot be read.
        Refused: if it is no regular file, or larger than an image may be.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"{KINDS.get(stat.S_IFMT(about.st_mode), 'something')}, not a regular file")
        check(about.st_size, "the file")
        with open(number, "rb", closefd=False) as file:
            return file.read(about.st_size if first is None else first)
    finally:
        os.close(number)


def promised(stream: IO[bytes], length: int) -> int:
    """How many bytes of numbers a ``.npy`` file has, by its header; the stream then stands behind that.

    Args:
        stream: at the file's beginning.
        length: of the file in bytes.

    Raises:
        ValueError: if it is no such file, holds Python objects, or is shorter than its header says.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a .npy file of version {version[0]}.{version[1]}, which no plain array needs")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    size = math.prod(shape) * dtype.itemsize
    if size > length - stream.tell():
        raise ValueError("it is shorter than its header says")
    return size


def load_npy(file: bytes) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        ValueError: as `promised`.
        Refused: if it is larger than an image may be.
    """
    check(promised(io.BytesIO(file), len(file)), "an array")
    array: np.ndarray = np.load(io.BytesIO(file), allow_pickle=False)
    return array
