"""Images that are Python objects: arrays, tensors, lists, torch's and Hugging Face's data sets."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.data
from PIL import Image
from torch import Tensor

from twofold.data import hugging_face
from twofold.data.decode import Unreadable, as_images
from twofold.data.encoded import Files
from twofold.data.items import Label, as_array, class_numbers, image_and_label, label_of, pixels
from twofold.data.sources import Array, Contents, Source, Subset, digest
from twofold.errors import UsageError


def source_of(data: Any, name: str) -> Source:
    """The images that an object holds; ``name`` is what errors call it. `open_data` says what it may be.

    Raises:
        UsageError: if it holds none, or none of a kind that can be used.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        source = copy(source_of(data[0], name))
        labels = given_labels(data[1], len(source), name)
        source.labels, source.classes = class_numbers(labels)
        source.notes = _without_label(labels)  # instead of what was said of the images' own labels
        return source
    if hasattr(data, "shape") and hasattr(data, "columns"):  # of pandas or polars
        columns = ", ".join(map(str, getattr(data, "column_names", data.columns)))  # Arrow's columns are values
        raise UsageError(
            f"{name} is a table of {columns}: give its images, or images and labels, as in "
            "(table['path'], table['label'])"
        )
    if hasattr(data, "to_list") and hasattr(data, "dtype"):  # a column of one
        return _listed(data.to_list(), name)
    if isinstance(data, Tensor) or (isinstance(data, np.ndarray) and data.dtype.kind not in "OU"):
        return Array(as_images(as_array(data), name))
    if isinstance(data, list | tuple | np.ndarray):
        return _listed(data, name)
    if hugging_face.is_one(data):
        return hugging_face.HuggingFace(data, name)
    if type(data) is torch.utils.data.Subset:
        return Subset(source_of(data.dataset, name), data.indices)
    if isinstance(data, torch.utils.data.IterableDataset | Mapping | str | bytes) or not _is_sequence(data):
        raise UsageError(
            f"{name} holds no images that can be had by number: give an array of images, a list of images or of "
            "paths, or a Dataset with __len__ and __getitem__"
        )
    return Items(data, name, _known_labels(data), getattr(data, "classes", None))


def _is_sequence(data: Any) -> bool:
    try:
        return hasattr(data, "__getitem__") and len(data) >= 0
    except Exception:  # some data sets have a length only to say that they have none
        return False


def _listed(items: Iterable[Any], name: str) -> Source:
    """A list, whose items are in memory already: what is not its images' pixels can be looked at beforehand."""
    pairs = [image_and_label(item) for item in items]
    images = [image for image, _ in pairs]
    labels = [label for _, label in pairs]
    if images and all(isinstance(image, str | Path) for image in images):
        files = Files([str(image) for image in images])
        files.labels, files.classes = class_numbers(labels)
        files.notes = _without_label(labels)
        return files
    for image in images:
        if isinstance(image, Image.Image):
            with suppress(Exception):  # whatever Pillow says of a broken one: it is met again when its turn comes
                image.load()  # it may still have an open file, which worker processes cannot share
    source = Items(images, name, labels)
    source.notes = _without_label(labels)
    return source


def _without_label(labels: Sequence[Label]) -> tuple[str, ...]:
    """What is said of a list of which some images have a label and others have none."""
    missing = [place for place, label in enumerate(labels) if class_numbers([label])[0] is None]
    if len(missing) in (0, len(labels)):
        return ()
    count = f"{len(missing)} of {len(labels)}"
    return (f"no image has a label: all must have one, but {count} have none, for example item {missing[0]}",)


class Items(Source):
    """A sequence or map-style data set whose items are images, with labels or without.

    Labels that are not known beforehand are taken from the items: of an item whose image has been read its label is
    known from then on; the others are read, once, when labels are asked for.
    """

    def __init__(
        self, items: Any, name: str, labels: Sequence[Label] | None = None, classes: Sequence[Any] | None = None
    ) -> None:
        """
        Raises:
            UsageError: if the first item is no image of a kind that can be used.
        """
        self._items, self._known, self._name = items, labels, name
        self._names = [str(value) for value in classes] if classes else None
        self._met: dict[int, Label] = dict(enumerate(labels or []))
        self._contents = Contents(len(self))
        if len(self):
            try:
                pixels(self._item(0))
            except Unreadable:
                pass  # this one, which says nothing of the others
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None

    @cached_property
    def labels(self) -> list[int] | None:
        """
        Raises:
            UsageError: if a label is no number of a class that the data set names.
        """
        labels, _ = self._numbered
        if labels and self.classes and max(labels) >= len(self.classes):
            raise UsageError(f"{self._name} has an image with label {max(labels)} but only {len(self.classes)} classes")
        return labels

    @cached_property
    def classes(self) -> list[str] | None:
        if isinstance(self._met.get(0), int):
            return self._names  # told without reading all items for their labels
        return self._numbered[1]

    @property
    def labels_at_hand(self) -> list[int] | None:
        return None if self._known is None else self.labels

    def __len__(self) -> int:
        return len(self._items)

    def image(self, index: int) -> np.ndarray:
        try:
            image = pixels(self._item(index))
        except UsageError as error:
            raise Unreadable(str(error)) from None
        self._contents.note(index, np.ascontiguousarray(image).data)
        return image

    def compute_fingerprint(self) -> str:
        """Of the number of items, of the labels that were known beforehand, and of the pixels of 64 images."""
        return digest([len(self), self._known, *self._contents.digests(self.image)])

    def _item(self, index: int) -> Any:
        """An item's image as the data set has it; its label is noted."""
        try:
            image, label = image_and_label(self._items[index])
        except Exception as error:  # somebody else's code
            raise Unreadable(" ".join(f"{type(error).__name__}: {error}".split())) from None
        self._met.setdefault(index, label)
        return image

    @cached_property
    def _numbered(self) -> tuple[list[int] | None, list[str] | None]:
        for index in range(len(self)):
            if index not in self._met:
                with suppress(Unreadable):
                    self._item(index)
            if index in self._met and self._met[index] is None:
                if any(label is not None for label in self._met.values()):
                    missing = f"no image has a label: all must have one, but item {index} has none"
                    self.notes = (*self.notes, missing)
                return None, None
        some = next(iter(self._met.values()), None)  # for items that cannot be read: none of them is ever used
        return class_numbers([self._met.get(index, some) for index in range(len(self))])


def given_labels(labels: Any, images: int, name: str) -> list[Label]:
    """The labels that were given beside images.

    Raises:
        UsageError: if they are not as many, or something other than labels.
    """
    if not hasattr(labels, "__len__") or len(labels) != images:
        count = f"{len(labels)} labels" if hasattr(labels, "__len__") else type(labels).__name__
        raise UsageError(f"{name}: {images} images with {count}; a pair is (images, labels)")
    found = []
    for value in labels:
        label = label_of(value)
        if label is None and value is not None:
            raise UsageError(f"{name}: a label must be a whole number or a text, not {type(value).__name__}")
        found.append(label)
    return found


def _known_labels(data: Any) -> list[Label] | None:
    """A data set's labels where it has a list of them, as torchvision's do."""
    for name in ("targets", "labels", "_labels"):
        values = getattr(data, name, None)
        values = values.tolist() if isinstance(values, np.ndarray | Tensor) else values
        if isinstance(values, list | tuple) and len(values) == len(data):
            labels = [label_of(value) for value in values]
            if all(isinstance(label, int) for label in labels):
                return labels
    return None
