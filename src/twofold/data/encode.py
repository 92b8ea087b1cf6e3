"""From pixels to files that `decode` reads as the same pixels, and smaller copies of images."""

import io

import numpy as np
import tifffile
import torch
from PIL import Image
from torch.nn.functional import interpolate

from twofold.data.decode import FORMATS, NPY, Unreadable, decode, opened
from twofold.data.tiff import is_tiff

LOSING = frozenset({".jpg", ".webp", ".avif", ".jp2"})
"""Endings of formats that do not keep every pixel: a smaller copy of such a file is a JPEG."""
QUALITY = 90
"""Of these JPEGs."""


def ending_of(file: bytes) -> str:
    """The ending that a file of an image should have, by what it holds, with its dot.

    Raises:
        Unreadable: if it does not begin as an image of a format that is read.
    """
    if file.startswith(NPY):
        return ".npy"
    if is_tiff(file):
        return ".tif"
    try:
        with opened(file) as image:
            return FORMATS.get(image.format or "", FORMATS["JPEG"])[0]  # a JPEG of several pictures has its own name
    except MemoryError:
        raise
    except Exception as error:  # whatever Pillow raises on what is no image
        reason = " ".join(str(error).split())
        raise Unreadable("not an image" if "cannot identify" in reason else reason) from None


def without_loss(image: np.ndarray) -> tuple[bytes, str]:
    """A file of an image [C, H, W], and its ending: PNG for uint8 RGB, for everything else TIFF."""
    written = io.BytesIO()
    if image.dtype == np.uint8 and len(image) == 3:
        Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1))).save(written, "PNG")
        return written.getvalue(), ".png"
    tifffile.imwrite(
        written, image, photometric="minisblack", planarconfig="separate" if len(image) > 1 else None,
        extrasamples=[0] * (len(image) - 1) or None, metadata=None, software=False,
    )  # fmt: skip
    return written.getvalue(), ".tif"


def as_jpeg(image: np.ndarray) -> bytes:
    """A JPEG of an image [3, H, W] of uint8."""
    written = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1))).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def no_longer(image: np.ndarray, longest: int) -> np.ndarray:
    """An image [C, H, W] whose longer side has at most so many pixels; a smaller one as it is. Linear, antialiased."""
    height, width = image.shape[1:]
    if max(height, width) <= longest:
        return image
    size = [max(1, round(side * longest / max(height, width))) for side in (height, width)]
    pixels = torch.from_numpy(image if image.dtype == np.uint8 else image.astype(np.float32))
    smaller: np.ndarray = interpolate(pixels[None], size, mode="bilinear", antialias=True)[0].numpy()
    return (np.rint(smaller) if image.dtype == np.uint16 else smaller).astype(image.dtype)


def packed(file: bytes | None, image: np.ndarray | None, longest: int | None) -> tuple[bytes, str]:
    """The file of an image to be packed, and its ending: ``file`` as it is unless it is to be smaller.

    Args:
        file: the encoded image, if there is such a file; else ``image``, [C, H, W].
        longest: pixels that the longer side has at most; None: as it is.
    """
    ending = None if file is None else ending_of(file)
    if file is not None and ending != ".npy" and longest is None:
        return file, str(ending)
    if image is None:
        assert file is not None
        image = decode(file)
    smaller = image if longest is None else no_longer(image, longest)
    if smaller is image and file is not None and ending != ".npy":
        return file, str(ending)
    if ending in LOSING and smaller.dtype == np.uint8:
        return as_jpeg(smaller), ".jpg"
    return without_loss(smaller)
