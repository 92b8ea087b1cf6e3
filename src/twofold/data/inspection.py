"""What training must know of its images before the first step, with no image opened more often than it need be."""

from functools import cached_property

import numpy as np
import torch

from twofold.data.decode import Unreadable
from twofold.data.decoded import Decoded, decode_all
from twofold.data.loader import Bad, Resident, Streamed, check_share, sample
from twofold.data.parallel import in_order
from twofold.data.sources import Array, Source, Subset
from twofold.errors import UsageError

RESIDENT_BYTES = 4 << 30
"""Images stay in memory if all of them, decoded and padded to the largest, take no more than this,"""
BATCH_BYTES = 1 << 30
"""and if the padded images of a batch, as uint8 and as float32, take no more than this."""
SAMPLE = 500
"""Size and colours are measured on at most so many images."""


class Inspection:
    """Whether a source's images fit in memory, how large they are, and the mean and deviation of their colours.

    Images that are to stay in memory are decoded before anything else is asked, and all answers come from there: so
    each image is opened and decoded once. Of images that do not stay in memory a sample is decoded for the answers.
    """

    def __init__(self, source: Source, threads: int, max_unreadable: float = 1.0, bad: Bad = lambda *_: None) -> None:
        """
        Args:
            source: the images.
            threads: images decoded at once.
            max_unreadable: share of images that may be unreadable.
            bad: told the name and the reason of each unreadable image.
        """
        self.source, self.threads = source, threads
        self.max_unreadable, self.bad = max_unreadable, bad
        self._decoded: Decoded | None = None

    def fits_in_memory(self, batch_size: int) -> bool:
        """Whether all images fit in `RESIDENT_BYTES`, and a batch of them in `BATCH_BYTES`.

        To answer, they are decoded, and stay in memory if they fit. If not, the first image that is too large ends it.

        Raises:
            UsageError: if more images than permitted are unreadable.
        """
        if isinstance(self.source, Array):
            return True
        images = len(self.source)
        most = min(RESIDENT_BYTES // images, BATCH_BYTES // (5 * min(batch_size, images)))
        if self._decoded is None:
            self._take(decode_all(self.source, self.threads, most))
        return self._decoded is not None and self._decoded.images[:1].nbytes <= most

    def decode(self) -> Decoded:
        """All readable images in memory. They are decoded once, however often this is called.

        Raises:
            UsageError: if more images than permitted are unreadable.
        """
        if self._decoded is None:
            self._take(decode_all(self.source, self.threads))
        assert self._decoded is not None
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

    def load(self, resident: bool, device: torch.device, workers: int) -> Resident | Streamed:
        """The images for training, decoded in memory (and moved to the device) or by worker processes as needed."""
        if resident:
            decoded = self.decode()
            return Resident(decoded.images, decoded.sizes, device)
        return Streamed(self.source, device, workers, self.max_unreadable, self.bad)

    @property
    def longest_side(self) -> int:
        """Of the images of the sample, in pixels; 0 if none can be read."""
        return max((max(size) for size, _ in self._measured), default=0)

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel's pixels, 0 to 1, over the images of the sample.

        Raises:
            UsageError: if none can be read.
        """
        if not self._measured:
            tried = min(SAMPLE, len(self.source))
            raise UsageError(f"not one of {tried} images tried can be read; twofold scan says why")
        mean, square = np.mean([moments for _, moments in self._measured], axis=0)
        std = np.sqrt(np.maximum(square - mean**2, 1e-6))
        return tuple(np.round(mean, 4).tolist()), tuple(np.round(np.maximum(std, 1e-3), 4).tolist())

    @cached_property
    def _measured(self) -> list[tuple[tuple[int, int], list[np.ndarray]]]:
        """Height and width, and each channel's mean and mean square, of each readable image of the sample."""
        chosen = sample(self.source, SAMPLE)  # the same images, whether all are decoded or not
        if self._decoded is not None:
            row = {number: row for row, number in enumerate(self._decoded.numbers)}
            chosen = Subset(self._decoded, [row[number] for number in chosen.indices if number in row])

        def read(number: int) -> np.ndarray | None:
            try:
                return chosen.image(number)
            except Unreadable:
                return None

        found = []
        for image in in_order(read, range(len(chosen)), self.threads):
            if image is not None:
                pixels = image / 255.0
                found.append((image.shape[1:], [pixels.mean((1, 2)), np.square(pixels).mean((1, 2))]))
        return found
