"""Randomness as a function: every draw is named by what it is for, never by what was drawn before it.

No generator outlives the call that uses it, so there is no random state to save, and a resumed run
draws what the uninterrupted one would have drawn.
"""

import hashlib
import math
import operator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

ROUNDS = 16
"""Rounds of a `Permutation`, of which half turn the row and half the column of a number."""


def fold(seed: int, *names: int | str) -> int:
    """A 63-bit seed that depends on ``seed`` and every name, in order; whole numbers may be NumPy's or torch's."""
    plain = tuple(name if isinstance(name, str) else operator.index(name) for name in (seed, *names))
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *names: int | str) -> torch.Generator:
    """A fresh CPU generator for one purpose, e.g. ``generator(seed, "order", epoch)``."""
    return torch.Generator().manual_seed(fold(seed, *names))


@dataclass(frozen=True)
class Streams:
    """Random numbers by name, each name a stream of its own: what one draws does not depend on what others draw.

    ``names`` say what all these streams are for, as a step and a view. Numbers lie on the CPU. A ``shape`` is a number
    of rows, or rows and what each has.
    """

    seed: int
    names: tuple[int | str, ...] = ()

    def uniform(self, name: str, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32, from ``low`` to ``high``."""
        return torch.rand(shape, generator=self._stream(name), dtype=torch.float32) * (high - low) + low

    def normal(self, name: str, shape: int | tuple[int, ...]) -> Tensor:
        """Float32, standard normal."""
        return torch.randn(shape, generator=self._stream(name), dtype=torch.float32)

    def chance(self, name: str, shape: int | tuple[int, ...], probability: float) -> Tensor:
        """Bool, true with that probability."""
        return torch.rand(shape, generator=self._stream(name), dtype=torch.float32) < probability

    def integers(self, name: str, shape: int | tuple[int, ...], high: int) -> Tensor:
        """Int64, from 0 to ``high - 1``."""
        rows = (shape,) if isinstance(shape, int) else shape
        return torch.randint(high, rows, generator=self._stream(name))

    def within(self, *names: int | str) -> "Streams":
        """Streams for one of the things that these are for."""
        return Streams(self.seed, (*self.names, *names))

    def _stream(self, name: str) -> torch.Generator:
        return generator(self.seed, *self.names, name)


@dataclass(frozen=True)
class Permutation:
    """A random order of ``count`` things that takes no memory, whatever their number: each place is computed alone.

    It is a Feistel network. A number below rows * columns, both about the root of ``count``, is taken apart into its
    row and its column. Every round moves one of them around its range by a hash of the other, which can be undone, so
    no two numbers meet. The few results from ``count`` on go through it again until they are below it; as that follows
    the cycles of a permutation, what is left is one, too.
    """

    count: int
    seed: int
    names: tuple[int | str, ...] = ()

    def __call__(self, places: Tensor) -> Tensor:
        """Which things stand at these places of the order: int64 [n] of 0 to ``count - 1``, to the same; on the CPU."""
        things = self._through(places.numpy().astype(np.uint64))
        while (beyond := things >= self.count).any():
            things[beyond] = self._through(things[beyond])
        return torch.from_numpy(things.astype(np.int64))

    def _through(self, numbers: np.ndarray) -> np.ndarray:
        """Uint64 [n] below rows * columns, to the same."""
        columns = math.isqrt(max(0, self.count - 1)) + 1
        sizes = [np.uint64(-(-self.count // columns)), np.uint64(columns)]
        parts = [*np.divmod(numbers, sizes[1])]
        for number, key in enumerate(self._keys):
            one, other = number % 2, 1 - number % 2
            parts[one] = (parts[one] + _hashed(parts[other], *key) % sizes[one]) % sizes[one]
        together: np.ndarray = parts[0] * sizes[1] + parts[1]
        return together

    @cached_property
    def _keys(self) -> np.ndarray:
        """Uint64 [rounds, 3]."""
        keys = [[fold(self.seed, *self.names, number, part) for part in range(3)] for number in range(ROUNDS)]
        return np.array(keys, np.uint64)


def _hashed(values: np.ndarray, shift: np.uint64, first: np.uint64, second: np.uint64) -> np.ndarray:
    """Uint64 [n] to numbers below 2^32 that look random: the upper half of a product depends on all bits."""
    product = (values + shift) * (first | np.uint64(1))
    return (product ^ product >> np.uint64(32)) * (second | np.uint64(1)) >> np.uint64(32)
