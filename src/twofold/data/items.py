"""One item of a data set that is a Python object: its image and its label.

A label is a whole number, a text, or None for none. Numbers stay as they are, texts are numbered by sorted name.
Labels count only if every image has one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from twofold.data import bounds
from twofold.data.decode import Unreadable, as_image, decode, pixels_of
from twofold.data.encoded import LABELS
from twofold.data.sources import number
from twofold.errors import UsageError

IMAGES = ("image", "img")
"""Names of the image in an item that is a dict; where it has none of them, it is the first value that is an image."""

Label = int | str | None


def image_and_label(item: Any) -> tuple[Any, Label]:
    """What an item holds: it is an image, a sequence that begins with image and label, or a dict of both."""
    if isinstance(item, Mapping):
        images = [item[name] for name in IMAGES if name in item] + [v for v in item.values() if _looks_like_image(v)]
        labels = [item[name] for name in LABELS if name in item]
        return next(iter(images), None), label_of(next(iter(labels), None))
    if isinstance(item, tuple | list):
        return (item[0] if item else None), (label_of(item[1]) if len(item) > 1 else None)
    return item, None


def _looks_like_image(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray | Tensor) and value.ndim in (2, 3))


def pixels(image: Any) -> np.ndarray:
    """An image as `decode` gives it, from Pillow's, an array or tensor of uint8, uint16 or floats, or a path.

    Raises:
        Unreadable: if it is broken.
        UsageError: if it is of another kind.
    """
    if isinstance(image, np.ndarray | Tensor):
        if isinstance(image, Tensor) and image.is_floating_point() and {1, 3} & {*image.shape[:1], *image.shape[-1:]}:
            raise UsageError("an image is a tensor of floats, as transforms make them: give images before transforms")
        return as_image(as_array(image), "an image")
    if isinstance(image, Image.Image):
        return pixels_of(image)
    if isinstance(image, str | Path):
        try:
            return decode(bounds.read_file(image))
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        except bounds.Refused as error:
            raise Unreadable(str(error)) from None
    raise UsageError(f"an image cannot be {type(image).__name__}: give PIL images, arrays or tensors, or paths")


def as_array(values: np.ndarray | Tensor) -> np.ndarray:
    """Pixels as a NumPy array on the CPU."""
    if not isinstance(values, Tensor):
        return values
    plain = values.float() if values.dtype == torch.bfloat16 else values
    return plain.detach().cpu().numpy()


def label_of(value: Any) -> Label:
    """A label from a number or a text of Python, NumPy or torch; None for everything else."""
    if isinstance(value, np.ndarray | Tensor) and value.shape in ((), (1,)):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    return int(value) if isinstance(value, int | np.integer) else None


def class_numbers(labels: Sequence[Label]) -> tuple[list[int] | None, list[str] | None]:
    """Class numbers, and class names where the labels are texts.

    Neither if an image has no label, or a number below 0, by which data sets mark that.
    """
    if not labels or any(label is None or (isinstance(label, int) and label < 0) for label in labels):
        return None, None
    numbers = [label for label in labels if isinstance(label, int)]
    return (numbers, None) if len(numbers) == len(labels) else number([str(label) for label in labels])
