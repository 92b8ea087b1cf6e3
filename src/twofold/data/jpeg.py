"""JPEG files by libjpeg-turbo itself: the same pixels as Pillow's, without its copies, or fewer pixels for less work.

A JPEG file is blocks of 8 x 8 pixels as frequencies. Leaving out the higher half, three quarters or seven eighths of
them gives an image 2, 4 or 8 times smaller at once, without computing the pixels that a resize would throw away.
"""

import numpy as np
import simplejpeg
from PIL import ExifTags, Image

START = b"\xff\xd8\xff"
"""What files begin with."""
MODES = ("L", "RGB")
"""Pillow's modes of the files that are read here; the others have four colours."""
FACTORS = (8, 4, 2, 1)


def pixels(file: bytes, image: Image.Image, most: int = 1) -> np.ndarray | None:
    """The upright pixels of a JPEG file, uint8 [h, w, 3], that may be written to; None where Pillow has to read it.

    Args:
        file: the file.
        image: the same as Pillow has opened it, so that its kind and its size are known to be permitted.
        most: by how much both sides may be smaller than the file's; the largest of 1, 2, 4 and 8 up to that is taken,
            and a last row or column that is not whole counts as one.
    """
    if image.mode not in MODES:
        return None
    factor = next(factor for factor in FACTORS if factor <= max(1, most))
    height, width = -(-image.height // factor), -(-image.width // factor)
    try:
        if simplejpeg.decode_jpeg_header(file)[:2] != (image.height, image.width):
            return None
        read = simplejpeg.decode_jpeg(file, "RGB", min_height=height, min_width=width, min_factor=factor)
    except ValueError:  # damaged, more or less: Pillow knows whether its pixels are all there
        return None
    return turned(read, orientation_of(image)) if read.shape[:2] == (height, width) else None


def orientation_of(image: Image.Image) -> int:
    """How an image has to be turned to be upright, 1 to 8 as EXIF has it; 1: it is."""
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return int(found) if found in range(1, 9) else 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [h, w, 3] made upright."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = ((1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1))[orientation - 1]
    return np.ascontiguousarray(pixels[::rows, ::columns])
