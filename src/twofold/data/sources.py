"""Where images come from. A source is random-access: its length, one image, one label, one name.

Sources hold file names, offsets or encoded bytes, never open handles, so worker processes can share them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from twofold.data.compact import Numbers
from twofold.data.decode import Reduction, Scaled, Unreadable
from twofold.errors import UsageError

WHOLE = 256 << 20
"""Images whose files have no more bytes together are read, all of them, for their fingerprint."""


class Source(ABC):
    """Images by number.

    A source of one's own says its length, gives an image by its number, and computes its fingerprint; what else
    it knows (labels, names) it tells by overriding the rest.
    """

    @cached_property
    def labels(self) -> Sequence[int] | None:
        """One class number an image, or None if not every image has a label."""
        return None

    @cached_property
    def classes(self) -> list[str] | None:
        """The classes' names by number, or None if they have no names."""
        return None

    @cached_property
    def groups(self) -> Sequence[str] | None:
        """What each image belongs to with others, as a patient or a place, empty for none; None: nothing is known."""
        return None

    @property
    def labels_at_hand(self) -> Sequence[int] | None:
        """The labels where they are known without reading images, else None."""
        return self.labels

    @cached_property
    def passed_over(self) -> Mapping[str, int]:
        """How many pictures beside these are in a format that is not read, by the ending of their names."""
        return {}

    @cached_property
    def missing(self) -> Sequence[str]:
        """What was asked for and is not there, such as the files of a table's rows."""
        return []

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What else is left out, in sentences."""
        return ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """[C, H, W] of uint8, uint16 or float32, C 1 to 16. Raises `Unreadable` with the reason."""

    def scaled(self, index: int, most: Reduction) -> Scaled:
        """The image, or a smaller one where that is less work. Raises `Unreadable` with the reason."""
        image = self.image(index)
        return Scaled(image, *image.shape[1:])

    @abstractmethod
    def compute_fingerprint(self) -> str:
        """A digest that changes when images are added, removed, reordered or replaced.

        What it cannot see has to be rare, and is to be said where it is computed.
        """

    def fingerprint(self) -> str:
        """What `compute_fingerprint` gives, which is asked once: it may open files."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return self.compute_fingerprint()

    def name(self, index: int) -> str:
        """What a person would call this image: a path, or a number."""
        return f"row {index}"

    def file(self, index: int) -> bytes | None:
        """The encoded file of an image, None where there is none. Raises `Unreadable` as `image` does."""
        return None

    def label(self, index: int) -> int | None:
        return None if self.labels is None else int(self.labels[index])

    def class_name(self, index: int) -> str | None:
        """The class of an image by its name, or by its number where it has none; None if it is not known.

        A source may know it of some images where others have no label, and ``labels`` is None.
        """
        label = self.label(index)
        return None if label is None else self.classes[label] if self.classes else str(label)

    @cached_property
    def masked(self) -> Sequence[int]:
        """The numbers of the images that have a mask, in order."""
        return []

    def mask(self, index: int) -> np.ndarray | None:
        """The class of each pixel of an image, uint8 [H, W], 255 where it has none; None if the image has no mask.

        Raises:
            UsageError: if it is there and is no mask.
        """
        return None


class Array(Source):
    """Images that lie in memory, [N, C, H, W] of uint8, uint16 or float32, all of one size."""

    def __init__(
        self, images: np.ndarray, labels: Sequence[int] | None = None, classes: list[str] | None = None
    ) -> None:
        self.images, self.labels, self.classes = images, labels, classes
        if labels is not None and len(labels) != len(images):
            raise UsageError(f"{len(images)} images with {len(labels)} labels")

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> np.ndarray:
        image: np.ndarray = self.images[index]
        return image

    def compute_fingerprint(self) -> str:
        return hashlib.blake2b(np.ascontiguousarray(self.images).data, digest_size=8).hexdigest()


class Derived(Source):
    """Images of another source, with its classes and, unless they are given others, its notes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._notes: tuple[str, ...] | None = None

    @cached_property
    def classes(self) -> list[str] | None:
        return self._source.classes

    @property
    def notes(self) -> tuple[str, ...]:
        """The other source's, which may have more to say once its labels have been asked for."""
        return self._source.notes if self._notes is None else self._notes

    @notes.setter
    def notes(self, notes: tuple[str, ...]) -> None:
        self._notes = notes


class Subset(Derived):
    """Some images of another source, renumbered."""

    def __init__(self, source: Source, indices: Iterable[int]) -> None:
        super().__init__(source)
        self.indices = Numbers(np.fromiter((int(index) for index in indices), np.int64))

    @cached_property
    def labels(self) -> Sequence[int] | None:
        labels = self._source.labels
        return None if labels is None else Numbers(np.asarray(labels)[self.indices.values])

    @property
    def labels_at_hand(self) -> Sequence[int] | None:
        return None if self._source.labels_at_hand is None else self.labels

    @cached_property
    def groups(self) -> Sequence[str] | None:
        groups = self._source.groups
        return None if groups is None else [groups[number] for number in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> np.ndarray:
        return self._source.image(self.indices[index])

    def scaled(self, index: int, most: Reduction) -> Scaled:
        return self._source.scaled(self.indices[index], most)

    def file(self, index: int) -> bytes | None:
        return self._source.file(self.indices[index])

    def name(self, index: int) -> str:
        return self._source.name(self.indices[index])

    def class_name(self, index: int) -> str | None:
        return self._source.class_name(self.indices[index])

    @cached_property
    def masked(self) -> list[int]:
        theirs = set(self._source.masked)
        return [index for index, number in enumerate(self.indices) if number in theirs]

    def mask(self, index: int) -> np.ndarray | None:
        return self._source.mask(self.indices[index])

    def compute_fingerprint(self) -> str:
        return digest([(self._source.fingerprint(), str(list(self.indices)))])


class Contents:
    """Digests of the contents of images, which tell data apart whose names and sizes are the same: of all, or of 64.

    Whoever reads images notes them here. So a fingerprint that is asked for after all were read opens none again.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._some = np.linspace(0, images - 1, min(64, images)).astype(int).tolist()
        self._sample = frozenset(self._some)
        self._found: dict[int, str] = {}
        self._noted = 0  # bytes

    def note(self, index: int, content: bytes | memoryview) -> None:
        """The encoded or decoded image that was read. Beside the 64, no more than `WHOLE` bytes are noted."""
        size = memoryview(content).nbytes
        if index not in self._found and (index in self._sample or self._noted + size <= WHOLE):
            self._found[index] = hashlib.blake2b(content, digest_size=8).hexdigest()
            self._noted += size

    def digests(self, read: Callable[[int], object], every: bool = False) -> list[str]:
        """Those of 64 images, or of ``every`` one; ``read`` notes an image that was not read yet.

        Empty for what is unreadable.
        """
        chosen = range(self._images) if every else self._some
        for index in chosen:
            if index not in self._found:
                with suppress(Unreadable):
                    read(index)
        return [self._found.get(index, "") for index in chosen]


def modified(path: Path) -> int:
    """When a file was last modified, in nanoseconds; 0 for one that is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def number(values: list[str]) -> tuple[list[int], list[str]]:
    """Class numbers and class names of texts; numerals keep their order as numbers."""
    numeric = all(value.isdecimal() and len(value) < 1000 for value in values)
    classes = sorted(set(values), key=int) if numeric else sorted(set(values))
    position = {name: i for i, name in enumerate(classes)}
    return [position[value] for value in values], classes


def digest(rows: Iterable[object]) -> str:
    """Eight bytes, in hexadecimal, over an iterable's contents."""
    hasher = hashlib.blake2b(digest_size=8)
    for row in rows:
        hasher.update(f"{row!r}\n".encode())
    return hasher.hexdigest()
