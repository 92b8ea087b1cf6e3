"""All images of a source decoded, in one tensor."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from twofold.data.decode import Unreadable
from twofold.data.kinds import Kind, unlike
from twofold.data.parallel import in_order
from twofold.data.sources import Array, Source, Subset

BLOCK_BYTES = 64 << 20
"""So much that the system has the memory back as soon as it is free, which it has not of many small pieces."""


class Decoded(Source):
    """The images of another source that could be read.

    ``images``: [n, C, H, W] of one kind, padded with zeros to the largest; ``sizes``: int64 [n, 2], their true heights
    and widths; ``numbers``: those they have in the other source; ``failures``: number and reason of what is left out.
    """

    def __init__(
        self, source: Source, images: Tensor, sizes: Tensor, numbers: list[int], failures: list[tuple[int, str]]
    ) -> None:
        self.images, self.sizes, self.numbers, self.failures = images, sizes, numbers, failures
        self._readable = Subset(source, numbers) if failures else source

    @cached_property
    def labels(self) -> Sequence[int] | None:
        return self._readable.labels

    @cached_property
    def classes(self) -> list[str] | None:
        return self._readable.classes

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> np.ndarray:
        height, width = self.sizes[index].tolist()
        return self.images[index, :, :height, :width].numpy()

    def name(self, index: int) -> str:
        return self._readable.name(index)

    def compute_fingerprint(self) -> str:
        return self._readable.fingerprint()


def decode_all(source: Source, threads: int, most: Callable[[int], float] = lambda _: math.inf) -> Decoded | None:
    """Open and decode every image once; give up, None, when one padded to the largest so far has too many values.

    ``most``: how many values are not too many, by the bytes that each takes. On the way memory holds hardly more than
    the padded images of the result.

    Raises:
        UsageError: if two images are not of one kind; the message names them.
    """
    if isinstance(source, Array):
        sizes = torch.tensor([source.images.shape[2:]]).expand(len(source), 2)
        return Decoded(source, torch.from_numpy(source.images), sizes, list(range(len(source))), [])

    def read(number: int) -> np.ndarray | str:
        try:
            return source.image(number)
        except Unreadable as error:
            return str(error)

    pile = _Pile()
    numbers: list[int] = []
    failures: list[tuple[int, str]] = []
    kind: Kind | None = None
    for number, image in enumerate(in_order(read, range(len(source)), threads)):
        if isinstance(image, str):
            failures.append((number, image))
            continue
        kind = kind or Kind.of(image)
        if Kind.of(image) != kind:
            raise unlike(source.name(numbers[0]), kind, source.name(number), Kind.of(image))
        pile.add(image)
        numbers.append(number)
        if math.prod(pile.largest) > most(image.itemsize):
            return None
    sizes = torch.tensor(pile.sizes, dtype=torch.long).view(-1, 2)
    return Decoded(source, torch.from_numpy(pile.padded()), sizes, numbers, failures)


class _Pile:
    """Images [C, h, w] of one kind, unpadded in blocks of memory until it is known how far they must be padded."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.largest, self._dtype = (0, 0, 0), np.dtype(np.uint8)
        self._blocks: deque[np.ndarray] = deque()
        self._next: list[np.ndarray] = []
        self._bytes = 0  # of the next block

    def add(self, image: np.ndarray) -> None:
        channels, height, width = image.shape
        self._dtype = image.dtype
        self.sizes.append((height, width))
        self.largest = channels, max(self.largest[1], height), max(self.largest[2], width)
        self._next.append(image)
        self._bytes += image.nbytes
        if self._bytes >= BLOCK_BYTES:
            self._close_block()

    def padded(self) -> np.ndarray:
        """All images, [n, C, H, W], each in the top left corner. Blocks are freed on the way."""
        self._close_block()
        channels = self.largest[0]
        images = np.zeros((len(self.sizes), *self.largest), self._dtype)  # memory is had where it is written to
        row = 0
        while self._blocks:
            block, start = self._blocks.popleft(), 0
            while start < len(block):
                height, width = self.sizes[row]
                end = start + channels * height * width
                images[row, :, :height, :width] = block[start:end].reshape(channels, height, width)
                row, start = row + 1, end
        return images

    def _close_block(self) -> None:
        if self._next:
            self._blocks.append(np.concatenate([image.ravel() for image in self._next]))
            self._next, self._bytes = [], 0
