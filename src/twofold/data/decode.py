"""Any image file as upright RGB, uint8 [3, H, W]."""

import io

import numpy as np
from PIL import Image, ImageOps

from twofold.errors import UsageError


class Unreadable(Exception):
    """One image that cannot be read, with the reason."""


def decode(file: bytes) -> np.ndarray:
    """Decode one image, uint8 [3, H, W].

    Turned upright as its EXIF orientation says; transparency lies on white; 16-bit values keep their place
    in the full range (65,535 becomes 255), so that images stay comparable; of several frames, the first.

    Raises:
        Unreadable: if it is no image, is truncated, or has pixels with no natural place in 0 to 255.
    """
    try:
        image = Image.open(io.BytesIO(file))
    except Exception as error:  # Pillow's plugins raise nearly every kind on broken files
        raise _unreadable(error) from None
    with image:
        return pixels_of(image)


def pixels_of(image: Image.Image) -> np.ndarray:
    """What `decode` makes of a file, of an image that Pillow has opened: uint8 [3, H, W].

    Raises:
        Unreadable: as `decode`.
    """
    try:
        image.load()  # raises on a truncated file, where a lazy read would go on with grey
        return np.ascontiguousarray(np.moveaxis(np.asarray(_rgb(image)), -1, 0))
    except Unreadable:
        raise
    except Exception as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> Unreadable:
    reason = " ".join(str(error).split()) or type(error).__name__
    return Unreadable("not an image" if "cannot identify" in reason else reason)


def _rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion clips to 255
        values = np.asarray(image).astype(np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise Unreadable("32-bit pixels: scale them to 8 or 16 bits")
        image = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise Unreadable("floating-point pixels outside 0 to 1: scale them")
        image = Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def as_images(array: np.ndarray, name: str) -> np.ndarray:
    """An array of images as uint8 [N, 3, H, W], from [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 or 3.

    Raises:
        UsageError: for another shape or type.
    """
    images = _planes(array, name)
    if images is None:
        shape = list(array.shape)
        raise UsageError(f"{name} must have shape [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 or 3, not {shape}")
    return images


def as_image(array: np.ndarray, name: str) -> np.ndarray:
    """One image as uint8 [3, H, W], from [H, W], [H, W, C] or [C, H, W], C 1 or 3.

    Raises:
        UsageError: for another shape or type.
    """
    images = _planes(array[None], name)
    if images is None:
        raise UsageError(f"{name} must have shape [H, W], [H, W, C] or [C, H, W], C 1 or 3, not {list(array.shape)}")
    image: np.ndarray = images[0]
    return image


def _planes(array: np.ndarray, name: str) -> np.ndarray | None:
    """Images as uint8 [N, 3, H, W] that torch can share; None if they have no shape of images."""
    if array.dtype != np.uint8:
        raise UsageError(f"{name} must hold uint8 values from 0 to 255, not {array.dtype}")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[-1] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape[2:]:
        return None
    if array.shape[1] == 1:
        array = np.broadcast_to(array, (len(array), 3, *array.shape[2:]))
    shared: np.ndarray = np.require(array, requirements=("C_CONTIGUOUS", "WRITEABLE"))
    return shared
