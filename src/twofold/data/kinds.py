"""The kinds of images, by channels and numbers, and images made into another kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from twofold.data.decode import Reduction, Scaled, Unreadable
from twofold.data.sources import Array, Derived, Source
from twofold.errors import UsageError

FULL = {"uint8": 255, "uint16": 65535, "float32": 1}
"""What stands for 1 in images of each depth."""


@dataclass(frozen=True)
class Kind:
    """How many channels an image has, and its numbers: ``uint8``, ``uint16`` or ``float32``."""

    channels: int
    depth: str

    @classmethod
    def of(cls, image: np.ndarray) -> "Kind":
        """The kind of an image [C, H, W]."""
        return cls(len(image), str(image.dtype))

    def __str__(self) -> str:
        return f"{self.channels} channel{'s' * (self.channels > 1)} of {self.depth}"


PICTURE = Kind(3, "uint8")
"""That of ordinary pictures."""


def unlike(name: str, kind: Kind, other: str, others: Kind) -> UsageError:
    """What is said of two images of one set of data that are not of one kind."""
    return UsageError(
        f"{name} has {kind}, {other} has {others}: images must be of one kind; --channels 3 makes 8-bit RGB of "
        "greyscale and RGB of any depth, --depth uint8, uint16 or float32 changes the numbers alone (values of 12 bits "
        "in files of 16 are to be multiplied by 16 first)"
    )


def asked(channels: int | None, depth: str | None) -> tuple[int | None, str | None]:
    """The kind that settings ask for: 3 channels without a depth are a picture's, 8 bits each."""
    return channels, "uint8" if channels == 3 and depth is None else depth


def converted(image: np.ndarray, channels: int | None, depth: str | None) -> np.ndarray:
    """An image with so many channels of that depth; None: as it has them.

    Greyscale becomes RGB, and RGB whose channels are the same becomes greyscale. Whole numbers keep their place in the
    full range, which is 0 to 1 of floats.

    Raises:
        Unreadable: for other numbers of channels, and for floats outside 0 to 1 that are to be whole numbers.
    """
    have = Kind.of(image)
    if channels not in (None, have.channels):
        if channels == 3 and have.channels == 1:
            image = np.repeat(image, 3, axis=0)
        elif channels == 1 and have.channels == 3 and (image == image[:1]).all():
            image = image[:1]
        else:
            raise OtherChannels(f"it has {have}, where {channels} are due")
    if depth in (None, have.depth):
        return image
    if have.depth == "float32" and not 0 <= image.min() <= image.max() <= 1:
        why = "numbers with a sign or a fraction are floats, from 0 to 1 where they are made whole"
        raise Unreadable(f"pixels outside 0 to 1, where {depth} is due: scale them ({why})")
    scaled = image * np.float64(FULL[depth] / FULL[have.depth])
    return (scaled if depth == "float32" else np.rint(scaled)).astype(depth)


def of_fewer_bits(largest: int) -> str:
    """What is said of images of 16 bits whose values end at ``largest``, as those of 12 bits do; nothing from 15 on."""
    bits = max(8, largest.bit_length())
    if bits >= 15:
        return ""
    return (
        f" (their values end at {largest}, of {FULL['uint16']}, so they become dark: if they have {bits} bits, save "
        f"them multiplied by {1 << (16 - bits)})"
    )


class OtherChannels(Unreadable):
    """An image with another number of channels than a network takes."""


class OfKind(Derived):
    """The images of another source, converted."""

    def __init__(self, source: Source, channels: int | None, depth: str | None) -> None:
        super().__init__(source)
        self._channels, self._depth = channels, depth
        self._changed: dict[Kind, Kind] = {}
        self._largest = 0  # of uint16

    @cached_property
    def labels(self) -> Sequence[int] | None:
        return self._source.labels

    @property
    def labels_at_hand(self) -> Sequence[int] | None:
        return self._source.labels_at_hand

    @cached_property
    def groups(self) -> Sequence[str] | None:
        return self._source.groups

    def __len__(self) -> int:
        return len(self._source)

    def image(self, index: int) -> np.ndarray:
        return self._converted(self._source.image(index))

    def scaled(self, index: int, most: Reduction) -> Scaled:
        found = self._source.scaled(index, most)
        return found._replace(pixels=self._converted(found.pixels))

    def _converted(self, image: np.ndarray) -> np.ndarray:
        result = converted(image, self._channels, self._depth)
        if result is not image:
            self._changed[Kind.of(image)] = Kind.of(result)
            if image.dtype == np.uint16 != result.dtype:
                self._largest = max(self._largest, int(image.max()))
        return result

    @property
    def changes(self) -> list[str]:
        """In words, which kinds of images were converted, as far as images have been read."""
        said = []
        for kind, new in sorted(self._changed.items(), key=str):
            scaled = ", from 0 to 1" if new.depth == "float32" != kind.depth else ""
            dark = of_fewer_bits(self._largest) if (kind.depth, new.depth) == ("uint16", "uint8") else ""
            said.append(f"images with {kind} are made {new}{scaled}{dark}")
        return said

    def name(self, index: int) -> str:
        return self._source.name(index)

    def class_name(self, index: int) -> str | None:
        return self._source.class_name(index)

    @cached_property
    def masked(self) -> Sequence[int]:
        return self._source.masked

    def mask(self, index: int) -> np.ndarray | None:
        return self._source.mask(index)

    def compute_fingerprint(self) -> str:
        return self._source.fingerprint()


def of_kind(source: Source, channels: int | None, depth: str | None = None) -> Source:
    """A source whose images have so many channels of that depth, None: as they have them; see `converted`."""
    if channels is None and depth is None:
        return source
    if isinstance(source, Array) and len(source):
        kind = Kind.of(source.images[0])
        if channels in (None, kind.channels) and depth in (None, kind.depth):
            return source
    return OfKind(source, channels, depth)
