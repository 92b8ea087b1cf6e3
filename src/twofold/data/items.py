"""One item of a data set that is a Python object: its image and its label.

A label is a whole number, a text, or None for none. Numbers stay as they are, texts are numbered by sorted name.
Labels count only if every image has one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

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
    """An image as uint8 [3, H, W], from Pillow's, a uint8 array or tensor, or a path.

    Raises:
        Unreadable: if it is broken.
        UsageError: if it is of another kind.
    """
    if isinstance(image, np.ndarray | Tensor):
        return as_image(as_array(image, "an image"), "an image")
    if isinstance(image, Image.Image):
        return pixels_of(image)
    if isinstance(image, str | Path):
        try:
            return decode(Path(image).read_bytes())
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
    raise UsageError(f"an image cannot be {type(image).__name__}: give PIL images, uint8 arrays or tensors, or paths")


def as_array(values: np.ndarray | Tensor, name: str) -> np.ndarray:
    """Pixels as a NumPy array on the CPU.

    Raises:
        UsageError: if they are floating-point numbers, as transforms make them.
    """
    kind = str(values.dtype).removeprefix("torch.")
    if "float" in kind:
        raise UsageError(f"{name} must hold uint8 values, not {kind}: give images before transforms, as PIL or uint8")
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


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
