"""Any image file as an upright image [C, H, W] of uint8, uint16 or float32.

Files come from anywhere, so only the formats that folders are searched for are opened, none of which runs another
program, and the size in a file's header is held against `twofold.data.bounds` before memory is had for it.
"""

import io
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_png

from twofold.data import bounds, jpeg, tiff
from twofold.errors import UsageError
from twofold.storage.names import clean

CHANNELS = 16
"""An image has at most so many."""
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "JPEG2000": (".jp2",),
    "AVIF": (".avif",),
    "TGA": (".tga",),
}
"""The formats that are read, by Pillow's names, and the endings that their files have."""
NPY, PNG = b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"
"""What files begin with."""
PNG_HEADER = slice(16, 26)
"""Where a PNG file says its width, its height, how many bits a value has, and what its values are."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
WIDE = {"F": 4, "I": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes of a pixel in those of Pillow's modes that do not become RGB of 8 bits."""

REASON = 200
"""So many characters of what a reader says are kept."""

T = TypeVar("T")


Reduction = Callable[[int, int], int]
"""Told the height and the width of an upright image: by how much it may be made smaller, at least 1."""


class Unreadable(Exception):
    """One image that cannot be read, with the reason."""


class Scaled(NamedTuple):
    """An image that may be smaller than it is in its file: ``pixels`` [C, h, w], and the file's height and width."""

    pixels: np.ndarray
    height: int
    width: int


def decode(file: bytes) -> np.ndarray:
    """Decode one image, [C, H, W] with 1 to 16 channels; pictures lie in memory as [H, W, C].

    A picture of 8 bits a channel, of whatever kind, is uint8 RGB. A PNG or TIFF file of 16 bits stays uint16, with 1
    channel or 3; TIFF files of several bands or pages have as many channels, of uint8, uint16 or float32; a ``.npy``
    file is an image [H, W], [H, W, C] or [C, H, W]. Pictures are turned upright as their EXIF orientation says, and
    transparency lies on white; of several frames of any other kind of file, the first.

    Raises:
        Unreadable: if it is no image, is truncated, is larger than `bounds` permits, or has pixels that are no numbers
            of these kinds.
    """
    return scaled(file, lambda *_: 1).pixels


def scaled(file: bytes, most: Reduction) -> Scaled:
    """Decode one image as `decode` does, or smaller, where that is less work: a JPEG file 2, 4 or 8 times.

    Raises:
        Unreadable: as `decode`.
    """
    if file.startswith(jpeg.START):
        with _attempt(lambda: opened(file)) as image:
            return _attempt(lambda: _jpeg(file, image, most))
    whole = _whole(file)
    return Scaled(whole, *whole.shape[1:])


def _whole(file: bytes) -> np.ndarray:
    if file.startswith(NPY):
        return _attempt(lambda: as_image(bounds.load_npy(file), "a .npy file"))
    if file.startswith(PNG) and file[24:25] == b"\x10":
        return _attempt(lambda: _deep_png(file))
    if tiff.is_tiff(file):
        bands = _attempt(lambda: tiff.read(file))
        if bands is not None:
            return _attempt(lambda: checked(bands, "a TIFF file"))
    with _attempt(lambda: opened(file)) as image:
        return pixels_of(image)


def _jpeg(file: bytes, image: Image.Image, most: Reduction) -> Scaled:
    """A JPEG file that Pillow has opened."""
    lies = jpeg.orientation_of(image) >= 5
    height, width = (image.width, image.height) if lies else (image.height, image.width)
    read = jpeg.pixels(file, image, most(height, width))
    return Scaled(pixels_of(image) if read is None else np.moveaxis(read, -1, 0), height, width)


def has_more_frames(file: bytes) -> bool:
    """Whether a readable file has pages or frames that are not in its image, beside previews as JPEG files have them.

    Raises:
        Unreadable: as `decode`.
    """
    if file.startswith((NPY, jpeg.START)):
        return False
    if tiff.is_tiff(file):
        return _attempt(lambda: tiff.has_more_pages(file))
    with _attempt(lambda: opened(file)) as image:
        return _attempt(lambda: getattr(image, "n_frames", 1) > 1)


def opened(file: bytes) -> Image.Image:
    """An image file as Pillow has it, its pixels not yet read.

    Raises:
        Refused: if it is larger than `bounds` permits.
        Exception: whatever Pillow raises on what is no image.
    """
    pixels = bounds.most() // 3
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = pixels  # Pillow's own limit, where more has been asked for
    try:
        image = Image.open(io.BytesIO(file), formats=tuple(FORMATS))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # tests make errors of warnings
        raise bounds.Refused(f"{error} ({bounds.VARIABLE} raises twofold's limit)") from None
    bounds.check_pixels(image.height, image.width, WIDE.get(image.mode, 3))
    return image


def pixels_of(image: Image.Image) -> np.ndarray:
    """An image that Pillow has opened: uint8 [3, H, W], or as `decode` says of one with more than 8 bits a channel.

    Raises:
        Unreadable: as `decode`.
    """

    def read() -> np.ndarray:
        image.load()  # raises on a truncated file, where a lazy read would go on with grey
        upright = image if jpeg.orientation_of(image) == 1 else ImageOps.exif_transpose(image)
        if upright.mode == "F":
            return checked(np.asarray(upright)[None], "an image")
        if upright.mode.startswith("I"):
            values = np.asarray(upright)
            if values.min() < 0 or values.max() > 65535:
                raise Unreadable("32-bit pixels: scale them to 8 or 16 bits")
            return values.astype(np.uint16)[None]
        return np.moveaxis(np.array(_rgb(upright)), -1, 0)  # a copy, which may be written to

    return _attempt(read)


def _attempt(read: Callable[[], T]) -> T:
    """What a reader gives.

    Raises:
        Unreadable: if it fails; readers raise nearly every kind of exception on broken files.
        MemoryError: if there was too little memory, which says nothing about the file.
        UsageError: if the limit on an image's size is no number.
    """
    bounds.most()
    try:
        return read()
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        reason = clean(" ".join(str(error).split()))[:REASON] or type(error).__name__
        raise Unreadable("not an image" if "cannot identify" in reason else reason) from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_png(file: bytes) -> np.ndarray:
    """A PNG file of 16 bits a value, which Pillow cuts to 8 where there is more than one channel."""
    width, height, _, kind = struct.unpack(">IIBB", file[PNG_HEADER])
    bounds.check_pixels(height, width, 2 * PNG_CHANNELS.get(kind, 4))
    try:
        raw = torch.frombuffer(bytearray(file), dtype=torch.uint8)
        planes: np.ndarray = decode_png(raw, ImageReadMode.UNCHANGED, apply_exif_orientation=True).numpy()
    except RuntimeError as error:  # its words are of its own source
        if "allocate memory" in str(error):
            raise MemoryError from None
        raise Unreadable("a broken PNG file") from None
    return tiff.on_white(planes) if len(planes) in (2, 4) else planes


def checked(planes: np.ndarray, name: str) -> np.ndarray:
    """Images [..., C, H, W] as uint8, uint16 or float32 that torch can share; other floats and int16 become float32.

    Raises:
        UsageError: for other numbers, for values that are not finite, and for more than 16 channels.
    """
    kind = planes.dtype.newbyteorder("=")
    if planes.shape[-3] > CHANNELS:
        raise UsageError(f"{name} has {planes.shape[-3]} channels, and an image has at most {CHANNELS}")
    if kind.kind == "b":
        planes = planes * np.uint8(255)
    elif kind.kind == "f" or kind == np.int16:
        with np.errstate(over="ignore"):
            planes = planes.astype(np.float32)
        if not np.isfinite(planes).all():
            raise UsageError(f"{name} has values that are not finite")
    elif kind not in (np.uint8, np.uint16):
        raise UsageError(f"{name} must hold uint8, uint16, int16 or float32 values, not {kind}: save them as float32")
    native = planes.dtype.newbyteorder("=")
    shared: np.ndarray = np.require(planes, native, requirements=("C_CONTIGUOUS", "WRITEABLE"))
    return shared


def as_images(array: np.ndarray, name: str) -> np.ndarray:
    """An array of images as [N, C, H, W], from [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 to 16.

    uint8 values of one channel become three, as greyscale pictures do.

    Raises:
        UsageError: for another shape or type, or values that are not finite.
    """
    shape = list(array.shape)
    if array.ndim == 3 and shape[2] <= 4 < shape[1]:
        raise UsageError(f"{name} of shape {shape} looks like one image: give [N, H, W, C], of grey ones with C = 1")
    images = _planes(array, name)
    if images is None:
        raise UsageError(f"{name} must have shape [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 to 16, not {shape}")
    return images


def as_image(array: np.ndarray, name: str) -> np.ndarray:
    """One image as [C, H, W], from [H, W], [H, W, C] or [C, H, W], C 1 to 16; else as `as_images`.

    Raises:
        UsageError: for another shape or type, or values that are not finite.
    """
    images = _planes(array[None], name)
    if images is None:
        raise UsageError(f"{name} must have shape [H, W], [H, W, C] or [C, H, W], C 1 to 16, not {list(array.shape)}")
    image: np.ndarray = images[0]
    return image


def _planes(array: np.ndarray, name: str) -> np.ndarray | None:
    """Images as [N, C, H, W]; None if they have no shape of images."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim != 4:
        return None
    elif _channels_last(array.shape[1], array.shape[3]):
        array = array.transpose(0, 3, 1, 2)
    if not 1 <= array.shape[1] <= CHANNELS or 0 in array.shape[2:]:
        return None
    array = checked(array, name)
    if array.dtype == np.uint8 and array.shape[1] == 1:
        array = np.repeat(array, 3, axis=1)
    return array


def _channels_last(first: int, last: int) -> bool:
    """Which side of an image is its channels: one of 1 or 3, else the only one up to 16, else the smaller one."""
    if last in (1, 3) or first in (1, 3):
        return last in (1, 3)
    return last <= CHANNELS and last <= first
