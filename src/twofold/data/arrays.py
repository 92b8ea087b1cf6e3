"""Arrays of images in NumPy's files."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from twofold.data import bounds
from twofold.data.decode import as_images
from twofold.data.items import class_numbers, label_of
from twofold.data.sources import Array
from twofold.errors import UsageError
from twofold.storage.names import clean

PAIRS = {
    "train": [("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train"), ("x", "y")],
    "test": [("test_images", "test_labels"), ("x_test", "y_test"), ("val_images", "val_labels"), ("x_val", "y_val")],
}
"""What arrays of images and of their labels are called in an ``.npz`` file."""
BROKEN = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip
"""What NumPy and zipfile raise on broken files, and on encrypted ones."""


def load_array(path: Path) -> dict[str, Array]:
    """Splits of an ``.npy`` (images) or ``.npz`` file.

    An ``.npz`` holds ``images`` and maybe ``labels``, or ``train_images``, ``train_labels``, ``test_images``,
    ``test_labels`` (also ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``val_*`` where there is no test). No other
    array in it is read, and none that says it is larger than its file or than the memory of this machine.

    Raises:
        UsageError: if it is no such file, or has none of these arrays.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no regular file")
        if not zipfile.is_zipfile(path):
            with open(path, "rb") as file:
                return {"train": _images(_array(file, path.stat().st_size, str(path)), str(path), None)}
        with zipfile.ZipFile(path) as archive:
            return _splits(archive, path)
    except BROKEN as error:
        raise UsageError(f"{path} is no NumPy file of plain arrays: {' '.join(str(error).split())[:200]}") from None


def _splits(archive: zipfile.ZipFile, path: Path) -> dict[str, Array]:
    """
    Raises:
        UsageError: if there are no training images.
    """
    arrays = {name.removesuffix(".npy"): name for name in archive.namelist()}

    def load(name: str) -> np.ndarray | None:
        if name not in arrays:
            return None
        about = archive.getinfo(arrays[name])
        with archive.open(about) as header:
            _check(header, about.file_size, f"{name} in {path}")
        with archive.open(about) as member:
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array

    splits = {}
    for split, pairs in PAIRS.items():
        images, labels = next(((images, labels) for images, labels in pairs if images in arrays), ("", ""))
        found = load(images)
        if found is not None:
            splits[split] = _images(found, f"{images} in {path}", load(labels))
    if "train" not in splits:
        named = clean(", ".join(arrays))[:200]
        raise UsageError(f"{path} has no array named images, train_images or x_train (it has {named})")
    return splits


def _check(file: IO[bytes], length: int, name: str) -> None:
    """
    Raises:
        UsageError: if an array does not fit in memory, by its header.
    """
    size, memory = bounds.promised(file, length), bounds.memory()
    if size > memory:
        raise UsageError(f"{name} takes {bounds.in_words(size)}, and this machine has {bounds.in_words(memory)}")


def _array(file: IO[bytes], length: int, name: str) -> np.ndarray:
    _check(file, length, name)
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _images(pixels: np.ndarray, name: str, labels: np.ndarray | None) -> Array:
    own = [] if labels is None else [label_of(label) for label in np.atleast_1d(labels.squeeze())]
    found = Array(as_images(pixels, name), *class_numbers(own))
    if labels is not None and found.labels is None:
        kind = f"{labels.dtype} {list(labels.shape)}"
        found.notes = (
            f"no image has a label: those of {name} are neither class numbers, from 0 on, nor texts ({kind})",
        )
    return found
