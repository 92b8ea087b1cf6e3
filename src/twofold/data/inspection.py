"""What training must know of its images before the first step, with no image opened more often than it need be."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from twofold.data import bounds
from twofold.data.decode import Unreadable
from twofold.data.decoded import Decoded, decode_all
from twofold.data.kinds import FULL, Kind, OfKind, of_kind, unlike
from twofold.data.loader import Bad, Streamed, check_share, none_readable
from twofold.data.mirrored import mirrored_alike, thumbnail
from twofold.data.parallel import in_order
from twofold.data.plan import sample
from twofold.data.resident import Resident
from twofold.data.sources import Array, Source, Subset
from twofold.errors import UsageError

RESIDENT_BYTES = 4 << 30
"""Images stay in memory if all of them, decoded and padded to the largest, take no more than this,"""
BATCH_BYTES = 1 << 30
"""and if the padded images of a batch, as they are and as float32, take no more than this."""
SAMPLE = 500
"""Size, kind and colours are measured on at most so many images."""

Moments = list[np.ndarray]
"""Each channel's mean and mean square."""
NEARLY_ALL = 0.9
"""So large a share of images without content is an alarm."""


@dataclass(frozen=True)
class Looked:
    """What an image is: its height and width, its moments, a digest of its pixels, whether these are all the same.

    ``grey``: whether its channels are alike. ``small``: a `thumbnail`.
    """

    size: tuple[int, int]
    moments: Moments
    digest: bytes
    blank: bool
    grey: bool
    small: torch.Tensor

    @classmethod
    def at(cls, image: np.ndarray) -> "Looked":
        pixels = image / np.float64(FULL[Kind.of(image).depth])
        moments = [pixels.mean((1, 2)), np.square(pixels).mean((1, 2))]
        content = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
        blank, grey = (bool((image == first).all()) for first in (image[:, :1, :1], image[:1]))
        return cls(image.shape[1:], moments, content, blank, grey, thumbnail(image))


class Inspection:
    """Whether a source's images fit in memory, their size and kind, and the mean and deviation of their channels.

    Images that are to stay in memory are decoded before anything else is asked, and all answers come from there: so
    each image is opened and decoded once. Of images that do not stay in memory a sample is decoded for the answers.
    """

    def __init__(
        self,
        source: Source,
        threads: int,
        max_unreadable: float = 1.0,
        bad: Bad = lambda *_: None,
        channels: int | None = None,
        depth: str | None = None,
    ) -> None:
        """
        Args:
            source: the images.
            threads: images decoded at once.
            max_unreadable: share of images that may be unreadable.
            bad: told the name and the reason of each unreadable image.
            channels: of the images, which are converted; None: as they have them. ``depth`` likewise; see `converted`.
        """
        self.source, self.threads = of_kind(source, channels, depth), threads
        self.max_unreadable, self.bad = max_unreadable, bad
        self._decoded: Decoded | None = None

    def fits_in_memory(self, batch_size: int) -> bool:
        """Whether all images fit in `RESIDENT_BYTES`, and a batch of them in `BATCH_BYTES`.

        To answer, they are decoded, and stay in memory if they fit. If not, the first image that is too large ends it.

        Raises:
            UsageError: if more images than permitted are unreadable, or two are not of one kind.
        """
        if isinstance(self.source, Array):
            return True
        images = len(self.source)

        def most(width: int) -> float:
            """Values of an image, each of so many bytes, and of four more as a float32."""
            return min(RESIDENT_BYTES // images // width, BATCH_BYTES // ((width + 4) * min(batch_size, images)))

        if self._decoded is None:
            self._take(decode_all(self.source, self.threads, most))
        if self._decoded is None:
            return False
        image = self._decoded.images[:1]
        return image.numel() <= most(image.itemsize)

    def decode(self) -> Decoded:
        """All readable images in memory. They are decoded once, however often this is called.

        Raises:
            UsageError: if more images than permitted are unreadable, two are not of one kind, or all of them are more
                than this machine has memory.
        """
        if self._decoded is None:
            share = bounds.memory() // len(self.source)
            self._take(decode_all(self.source, self.threads, lambda width: share // width))
        if self._decoded is None:
            raise UsageError(
                f"{len(self.source)} images, padded to the largest, take more than the "
                f"{bounds.in_words(bounds.memory())} of memory of this machine: --resident no"
            )
        return self._decoded

    def _take(self, decoded: Decoded | None) -> None:
        if decoded is None:
            return
        self._decoded = decoded
        failures = [(self.source.name(number), reason) for number, reason in decoded.failures]
        for name, reason in failures:
            self.bad(name, reason)
        if failures:
            check_share(len(failures), len(self.source), self.max_unreadable, ": ".join(failures[0]))

    @property
    def readable(self) -> Source:
        """The source itself or, once they are decoded, those of its images that can be read, out of memory."""
        return self.source if self._decoded is None else self._decoded

    def load(
        self, resident: bool, device: torch.device, workers: int, channels: int | None = None, depth: str | None = None
    ) -> Resident | Streamed:
        """The images for training, decoded in memory (and moved to the device) or by worker processes as needed.

        ``channels`` and ``depth``: the kind of the images, to which those beyond the sample are brought, too.
        """
        if resident:
            decoded = self.decode()
            return Resident(decoded.images, decoded.sizes, device)
        source = of_kind(self.source, channels, depth)
        return Streamed(source, device, workers, self.max_unreadable, self.bad)

    @property
    def longest_side(self) -> int:
        """Of the images of the sample, in pixels; 0 if none can be read."""
        return max((max(looked.size) for looked in self._measured[1]), default=0)

    @property
    def alarm(self) -> dict[str, float]:
        """What is wrong with the images of the sample themselves, if anything, as the first row of metrics has it.

        ``images_looked_at``; ``images_largest``, the longest side; ``images_blank``, the share of those that are of one
        colour; ``images_alike``, the share of those that have the same pixels as each other. Nothing, if few are.
        """
        measured = self._measured[1]
        if len(measured) < 2:
            return {}
        blank = sum(looked.blank for looked in measured) / len(measured)
        alike = Counter(looked.digest for looked in measured).most_common(1)[0][1] / len(measured)
        if max(blank, alike) < NEARLY_ALL:
            return {}
        counts: dict[str, float] = {"images_looked_at": len(measured), "images_largest": self.longest_side}
        return counts | {"images_blank": blank, "images_alike": alike}

    @property
    def kind(self) -> Kind:
        """Of the images, once they are converted.

        Raises:
            UsageError: if none can be read, or two are not of one kind; the message names them.
        """
        if self._decoded is not None and len(self._decoded):
            return Kind.of(self._decoded.image(0))
        found = Kind.of(self.source.image(0)) if isinstance(self.source, Array) else self._measured[0]
        if found is None:
            raise self._none_readable()
        return found

    @property
    def changes(self) -> list[str]:
        """In words, which kinds of images were converted, as far as images have been read."""
        return self.source.changes if isinstance(self.source, OfKind) else []

    @property
    def grey(self) -> bool:
        """Whether all images of the sample have channels that are alike, so that there is no colour in them."""
        return all(looked.grey for looked in self._measured[1])

    @cached_property
    def mirrored_alike(self) -> bool:
        """Whether mirrored images of the sample are as much like the others as the images themselves."""
        measured = self._measured[1]
        return not measured or mirrored_alike(torch.stack([looked.small for looked in measured]))

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel's pixels over the images of the sample.

        Whole numbers are from 0 to 1, of the highest value that there is; floats are as they are.

        Raises:
            UsageError: if none can be read, or two are not of one kind.
        """
        kind, measured = self._measured
        if kind is None:
            raise self._none_readable()
        mean, square = np.mean([looked.moments for looked in measured], axis=0)
        std = np.sqrt(np.maximum(square - mean**2, 0))
        if kind.depth == "uint8":
            return tuple(np.round(mean, 4).tolist()), tuple(np.round(np.maximum(std, 1e-3), 4).tolist())
        least = 1e-6 * np.maximum(1, np.abs(mean))  # of a channel that is the same everywhere
        return tuple(digits(value) for value in mean), tuple(digits(value) for value in np.maximum(std, least))

    def _none_readable(self) -> UsageError:
        return none_readable(sample(self.source, SAMPLE), f"{min(SAMPLE, len(self.source))} images tried")

    @cached_property
    def _measured(self) -> tuple[Kind | None, list[Looked]]:
        """The kind of the readable images of the sample, and what each is."""
        chosen = sample(self.source, SAMPLE)  # the same images, whether all are decoded or not
        if self._decoded is not None:
            row = {number: row for row, number in enumerate(self._decoded.numbers)}
            chosen = Subset(self._decoded, [row[number] for number in chosen.indices if number in row])

        def read(number: int) -> tuple[Kind, Looked] | None:
            try:
                image = chosen.image(number)
            except Unreadable:
                return None
            return Kind.of(image), Looked.at(image)

        found: list[Looked] = []
        kind: Kind | None = None
        first = 0
        for number, seen in enumerate(in_order(read, range(len(chosen)), self.threads)):
            if seen is None:
                continue
            own, looked = seen
            if kind is None:
                kind, first = own, number
            if own != kind:
                raise unlike(chosen.name(first), kind, chosen.name(number), own)
            found.append(looked)
        return kind, found


def digits(value: float) -> float:
    """A number with five digits, as a recipe shows it."""
    return float(f"{value:.5g}")
