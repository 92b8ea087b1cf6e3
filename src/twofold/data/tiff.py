"""TIFF files that are more than pictures: several bands, several pages, or more than 8 bits a pixel."""

import io
import logging
import lzma
import math
import struct
import zlib
from collections.abc import Sequence
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
PICTURES: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.CIELAB: 3,
}
"""Kinds of pictures, and how many channels each has beside a transparency."""
PLAIN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
"""Kinds of pictures whose numbers are grey values or red, green and blue."""
PILLOWS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000}
"""The numbers of the compressions that Pillow unpacks: none, CCITT, LZW, JPEG, deflate, PackBits, LZMA and ZSTD."""
UNCOMPRESSED = 1
MOST_CUT_OFF = 100
"""A truncated file was at most so many times as long."""
PREMULTIPLIED, TRANSPARENCY = 1, 2
"""What a page says that its last channel is: how opaque pixels are, which have been multiplied by it or not."""
REDUCED, MASK = 1, 4
"""Bits of a page's type: a smaller copy of another page, and a mask of one."""
ORIENTATION, GDAL_NODATA = 274, 42113
"""Numbers of tags."""
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
    as the lowest. The transparency of a picture is laid on white; beside other bands it is one more band. Pixels that
    are no number, or have the value that the file declares as nodata, get the mean of the band's other pixels.

    Raises:
        Refused: if it is larger than `bounds` permits.
        Exception: whatever tifffile raises on a broken file; ValueError for one that ends before its last page, for one
            without any data, and for a compression that needs imagecodecs.
    """
    try:
        return _read(file)
    except (struct.error, tifffile.TiffFileError):
        raise ValueError("a broken TIFF file (its list of contents is cut off or makes no sense)") from None


def _read(file: bytes) -> np.ndarray | None:
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        every = _listed(tiff)
        if not every:
            raise ValueError("a broken TIFF file (it has no page)")
        bands = _bands(_whole(every) or every[:1])
        first = bands[0]
        if len(bands) > 1 and len(every) == PAGES:
            raise ValueError(f"a TIFF file of {PAGES} pages or more: save each image of a stack or series as a file")
        if _alike(first, first) and len(every) < PAGES:  # it could be the first of several bands
            _check_end(tiff, every, file)
        for page in bands:
            bounds.check(len(bands) * max(_size(page), _segment(page)), "what a TIFF file holds")
            _check_segments(page, file)
        if len(bands) > 1:
            return _upright(_filled(np.stack([_planes(page)[0] for page in bands]), _nodata(first)), first)
        planes = _of_one_page(first)
        return None if planes is None else _upright(planes, first)


def _listed(tiff: tifffile.TiffFile) -> list[TiffPage]:
    """A file's first `PAGES` pages."""
    pages: list[Any] = list(islice(tiff.pages, PAGES))
    return pages


def _whole(pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Without copies of reduced size and masks."""
    return [page for page in pages if not int(page.subfiletype) & (REDUCED | MASK)]


def _bands(pages: list[TiffPage]) -> list[TiffPage]:
    """The pages that are the image: all of them, or the first."""
    first = pages[0]
    return pages if first.bitspersample >= 8 and all(_alike(page, first) for page in pages) else pages[:1]


def _of_one_page(page: TiffPage) -> np.ndarray | None:
    """The bands of a file's only page; None for a picture that is left to Pillow."""
    compression, declared = int(page.compression), int(page.extrasamples[-1]) if page.extrasamples else 0
    transparent = declared in (PREMULTIPLIED, TRANSPARENCY)
    channels = page.samplesperpixel - transparent
    coloured = channels == PICTURES.get(page.photometric)
    picture = page.bitspersample <= 8 and coloured
    left = picture and (compression in PILLOWS or page.photometric not in PLAIN)
    doubtful = transparent and coloured and page.photometric in PLAIN  # the last channel may be a band
    if left and not (doubtful and (CODECS or compression in (UNCOMPRESSED, *UNPACKERS))):
        return None
    planes = _planes(page)
    if doubtful and not planes.any():
        raise ValueError("a TIFF file that shows nothing (all numbers are 0, also those of its transparency)")
    measured = doubtful and not _is_transparency(planes)
    if left and not measured:  # Pillow lays it on white as it does all pictures
        return None
    if measured or not transparent:
        planes = _filled(planes, _nodata(page))
    else:
        planes = np.concatenate([_filled(planes[:-1], _nodata(page)), planes[-1:]])
    if measured:
        return planes
    if transparent and coloured and planes.dtype.kind == "u":
        planes = on_white(planes, declared == PREMULTIPLIED)
    return np.repeat(planes, 3, axis=0) if picture and channels == 1 else planes


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


def _check_end(tiff: tifffile.TiffFile, pages: Sequence[TiffPage], file: bytes) -> None:
    """
    Raises:
        ValueError: if the last of the pages is followed by another one by its own words, as tifffile passes over pages
            that a truncated file lacks. What can be no place in the whole file is taken for a mistake of the writer.
    """
    layout, last = tiff.tiff, pages[-1]
    (tags,) = struct.unpack_from(layout.tagnoformat, file, last.offset)
    (following,) = struct.unpack_from(layout.offsetformat, file, last.offset + layout.tagnosize + tags * layout.tagsize)
    if 0 < following <= MOST_CUT_OFF * len(file):
        raise ValueError(f"a broken TIFF file (it ends before page {len(pages) + 1})")


def _is_transparency(planes: np.ndarray) -> bool:
    """Whether the last channel is a transparency, as the page says: tifffile and GDAL say so of any fourth channel.

    Nearly all pixels of a picture are wholly opaque or wholly transparent. If only a few are opaque, the others have no
    colours.
    """
    if planes.dtype.kind != "u":
        return False
    opaque, clear = planes[-1] == np.iinfo(planes.dtype).max, planes[-1] == 0
    some = opaque.sum() >= 0.01 * opaque.size or (opaque.any() and not planes[:-1, clear].any())
    return bool(some and opaque.sum() + clear.sum() >= 0.9 * opaque.size)


def _nodata(page: TiffPage) -> float:
    """The value of `_planes` that stands for missing data, which GDAL declares as a text; NaN where none does."""
    tag = page.tags.get(GDAL_NODATA)
    try:
        value = float(tag.value) if tag else math.nan
    except (TypeError, ValueError):
        return math.nan
    inverted = page.photometric == PHOTOMETRIC.MINISWHITE and page.dtype is not None and page.dtype.kind == "u"
    return np.iinfo(page.dtype).max - value if inverted else value


def _filled(planes: np.ndarray, nodata: float) -> np.ndarray:
    """The bands with the mean of a band's other pixels where data are missing, and 0 in a band that has none.

    Raises:
        ValueError: if all data are missing.
    """
    floats = planes.dtype.kind == "f"
    missing = np.isnan(planes) if floats else np.zeros(planes.shape, bool)
    if not math.isnan(nodata):
        with np.errstate(over="ignore"):  # of a number that the file's type does not have
            missing |= planes == (planes.dtype.type(nodata) if floats else nodata)
    if not missing.any():
        return planes
    if missing.all():
        raise ValueError("a TIFF file without data (every pixel is declared as nodata, or is no number)")
    filled = planes.copy()
    for band, gaps in zip(filled, missing, strict=True):
        mean = 0.0 if gaps.all() else float(band[~gaps].mean(dtype=np.float64))
        band[gaps] = mean if floats else round(mean)
    return filled


def whole_pages(file: bytes) -> list[int]:
    """The numbers of a file's first `PAGES` pages that are no copies of reduced size, and no masks of others."""
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        return [int(page.index) for page in _whole(_listed(tiff))]


def has_more_pages(file: bytes) -> bool:
    """Whether a file has pages, beside copies and masks, that are not in what `read` makes of it."""
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        pages = _whole(_listed(tiff))
        return len(pages) > 1 and len(_bands(pages)) == 1


def declares_nodata(file: bytes) -> bool:
    """Whether the first page has GDAL's tag for missing data."""
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        return GDAL_NODATA in tiff.pages.first.tags


def on_white(planes: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """An image of whole numbers whose last channel says how opaque its pixels are, laid on white, without that.

    ``premultiplied``: whether the other channels have been multiplied by it.
    """
    full = np.iinfo(planes.dtype).max
    opaque = planes[-1] / full
    white, mixed = full * (1 - opaque), np.empty_like(planes[:-1])
    for own, channel in zip(mixed, planes[:-1], strict=True):  # one at a time, which are floats
        colour = channel if premultiplied else channel * opaque
        own[...] = np.rint(np.minimum(colour + white, full))
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
