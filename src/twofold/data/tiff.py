"""TIFF files that are more than pictures: several bands, several pages, or more than 8 bits a pixel."""

import io
import logging
import lzma
import math
import zlib
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC, TiffPage

from twofold.data import bounds

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said as its reason

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""A TIFF file begins with one of these; the last two are of BigTIFF."""
PICTURES = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.CIELAB: 3,
}
"""Kinds of pictures, and how many channels each has beside a transparency."""
REDUCED, MASK = 1, 4
"""Bits of a page's type: a smaller copy of another page, and a mask of one."""
ORIENTATION = 274
PAGES = 64
"""So many of a file's pages are looked at."""
CODECS = find_spec("imagecodecs") is not None
"""Whether there is the package that tifffile unpacks with, which unpacks no more than there should be."""
UNPACKERS: dict[int, Any] = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}
"""By the number of a compression, what tifffile has else."""


def is_tiff(file: bytes) -> bool:
    """Whether a file begins as a TIFF file does."""
    return file.startswith(MAGIC)


def read(file: bytes) -> np.ndarray | None:
    """The bands of a TIFF file, [C, H, W] in the file's own numbers, upright; None for a picture of 8 bits a channel.

    The pages of a file are its bands if there are several, all of one size, with one channel each; else the first page
    is the image. Copies of reduced size and masks are no pages. White is the highest value also where the file has it
    as the lowest. A transparency is the last channel here, too: `transparent` tells it.

    Raises:
        Refused: if it is larger than `bounds` permits.
        Exception: whatever tifffile raises on a broken file; ValueError for a compression that needs imagecodecs.
    """
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        every: list[Any] = list(islice(tiff.pages, PAGES))
        pages = [page for page in every if not int(page.subfiletype) & (REDUCED | MASK)] or every[:1]
        first = pages[0]
        bands = pages if first.bitspersample >= 8 and all(_alike(page, first) for page in pages) else [first]
        for page in bands:
            bounds.check(len(bands) * max(_size(page), _segment(page)), "what a TIFF file holds")
            _check_segments(page, file)
        if len(bands) > 1:
            return _upright(np.stack([_planes(page)[0] for page in pages]), first)
        if first.bitspersample <= 8 and PICTURES.get(first.photometric) == first.samplesperpixel - transparent(first):
            return None
        planes = _planes(first)
        if transparent(first) and planes.dtype.kind == "u":
            planes = on_white(planes)
        return _upright(planes, first)


def _size(page: TiffPage) -> int:
    """The bytes of a page's numbers."""
    return math.prod(page.shape) * max(1, page.bitspersample // 8)


def _segment(page: TiffPage) -> int:
    """The bytes of one strip or tile, which is decoded as a whole, and may be larger than the page."""
    return math.prod(page.chunks) * max(1, page.bitspersample // 8)


def _check_segments(page: TiffPage, file: bytes) -> None:
    """
    Raises:
        Refused: if a strip or tile becomes larger than it says where Python's own library unpacks it, without a limit.
    """
    unpacker = UNPACKERS.get(int(page.compression))
    if CODECS or unpacker is None:
        return
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        unpacked = unpacker().decompress(file[offset : offset + length], _segment(page) + 1)
        if len(unpacked) > _segment(page):
            raise bounds.Refused("a TIFF file with a part that is larger than it says")


def transparent(page: TiffPage) -> bool:
    """Whether a page's last channel says how opaque its pixels are."""
    return bool(page.extrasamples) and int(page.extrasamples[-1]) in (1, 2)


def on_white(planes: np.ndarray) -> np.ndarray:
    """An image of whole numbers whose last channel says how opaque its pixels are, laid on white, without that."""
    full = np.iinfo(planes.dtype).max
    opaque = planes[-1] / full
    mixed: np.ndarray = np.rint(planes[:-1] * opaque + full * (1 - opaque)).astype(planes.dtype)
    return mixed


def _alike(page: TiffPage, first: TiffPage) -> bool:
    plain = page.samplesperpixel == 1 and page.photometric != PHOTOMETRIC.PALETTE
    return plain and page.shape == first.shape and page.dtype == first.dtype


def _planes(page: TiffPage) -> np.ndarray:
    """A page as [C, H, W]."""
    try:
        pixels = page.asarray()
    except MemoryError:
        raise
    except Exception as error:  # of tifffile, of zlib, of imagecodecs: each has its own kinds
        if isinstance(error, ImportError) or "imagecodecs" in str(error):  # an older Python has a part of it
            name = COMPRESSION(page.compression).name
            raise ValueError(f"{name} compression needs one more package, pip install 'twofold[tiff]'") from None
        raise ValueError(f"a broken TIFF file ({' '.join(str(error).split())})") from None
    if page.axes == "YX":
        pixels = pixels[None]
    elif page.axes == "YXS":
        pixels = np.moveaxis(pixels, -1, 0)
    elif page.axes != "SYX":
        raise ValueError(f"a TIFF page with the axes {page.axes}, which is no image")
    if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels


def _upright(planes: np.ndarray, page: TiffPage) -> np.ndarray:
    """Turned as the page's orientation says, which numbers the eight ways to lay a picture down from 1."""
    tag = page.tags.get(ORIENTATION)
    number = int(tag.value) if tag else 1
    if number in (5, 6, 7, 8):
        planes = planes.transpose(0, 2, 1)
    if number in (3, 4, 7, 8):
        planes = planes[:, ::-1]
    if number in (2, 3, 6, 7):
        planes = planes[:, :, ::-1]
    return planes
