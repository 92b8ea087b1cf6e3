"""Randomness as a function: every draw is named by what it is for, never by what was drawn before it.

No generator outlives the call that uses it, so there is no random state to save, and a resumed run
draws what the uninterrupted one would have drawn.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


def fold(seed: int, *names: int | str) -> int:
    """A 63-bit seed that depends on ``seed`` and every name, in order."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
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
