"""The parts of `joint` by their names: energies D(x, y), functionals A and B of (x, y, memory)."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import losses
from twofold.errors import UsageError, did_you_mean
from twofold.losses.decorrelation import barlow_twins_terms
from twofold.losses.precision import exact

Energy = Callable[[Tensor, Tensor], Tensor]
Functional = Callable[[Tensor, Tensor, Tensor], Tensor]


def energy(name: str, temperature: float) -> Energy:
    """The energy of that name; the y side's gradient is the caller's."""
    named: dict[str, Energy] = {
        "squared": losses.squared,
        "cosine": losses.cosine,
        "negative_cosine": losses.negative_cosine,
        "smooth_l1": losses.smooth_l1,
        "cross_entropy": partial(cross_entropy, temperature=temperature),
        "correlation": lambda x, y: barlow_twins_terms(x, y)["invariance"],
    }
    return named[name]


def functionals(text: str, temperature: float) -> dict[str, tuple[float, Functional]]:
    """``variance:25,covariance:1`` as weights and functionals by name; a name alone has the weight 1.

    A functional takes both sides and a memory [k, d] that counts as part of either. Redundancy compares the two views
    sample by sample, so it has no use for a memory.

    Raises:
        UsageError: for a functional that does not exist, or a weight that is no number.
    """
    named: dict[str, Functional] = {
        "variance": lambda x, y, memory: (losses.variance(_with(x, memory)) + losses.variance(_with(y, memory))) / 2,
        "covariance": lambda x, y, memory: losses.covariance(_with(x, memory)) + losses.covariance(_with(y, memory)),
        "redundancy": lambda x, y, _: barlow_twins_terms(x, y)["redundancy"],
        "repulsion": lambda x, y, memory: losses.repulsion(x, y, temperature, False, memory),
    }
    weighed: dict[str, tuple[float, Functional]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition(":")
        if name in weighed:
            raise UsageError(f"the functional {name} is named twice")
        if name not in named:
            raise UsageError(f"there is no functional {name!r}{did_you_mean(name, named)}; {', '.join(named)}")
        try:
            weight = float(number or 1)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UsageError(f"the weight of {name} must be a number, not {number!r}")
        weighed[name] = (weight, named[name])
    return weighed


def _with(rows: Tensor, memory: Tensor) -> Tensor:
    return torch.cat([rows, memory.to(rows.dtype)]) if len(memory) else rows


@exact
def cross_entropy(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Mean of -sum softmax(y / temperature) log softmax(x / temperature): embeddings as scores of classes."""
    return F.cross_entropy(x / temperature, (y / temperature).softmax(1))


def collapsed(name: str, views: int, width: int) -> float:
    """What a part costs when all embeddings are alike (and flat, for the cross-entropy)."""
    return {
        "negative_cosine": -1.0,
        "cross_entropy": math.log(width),
        "correlation": float(width),
        "variance": 0.99,
        "repulsion": math.log(max(1, views - 1)),
    }.get(name, 0.0)
