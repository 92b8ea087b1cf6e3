"""Randomness as a function: every draw is named by what it is for, never by what was drawn before it.

No generator outlives the call that uses it, so there is no random state to save, and a resumed run
draws what the uninterrupted one would have drawn.
"""

import hashlib

import torch


def fold(seed: int, *names: int | str) -> int:
    """A 63-bit seed that depends on ``seed`` and every name, in order."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *names: int | str) -> torch.Generator:
    """A fresh CPU generator for one purpose, e.g. ``generator(seed, "order", epoch)``."""
    return torch.Generator().manual_seed(fold(seed, *names))
