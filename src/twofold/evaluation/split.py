"""Which labelled images: a part held out to choose by, and a few to learn from."""

import torch
from torch import Tensor

from twofold import rng


def hold_out(labels: Tensor, seed: int) -> tuple[Tensor, Tensor] | None:
    """The numbers of the images to fit on and of those to choose by: a tenth of each class, a fifth under 5,000 images.

    None where there are too few of a class to hold any out.
    """
    every = 10 if len(labels) >= 5000 else 5
    order = torch.randperm(len(labels), generator=rng.generator(seed, "hold out"))
    rank = _rank_in_class(labels[order])
    held = rank % every == every - 1
    if len(labels[order[held]].unique()) < len(labels.unique()):
        return None
    return order[~held].sort().values, order[held].sort().values


def draw(labels: Tensor, quota: Tensor, total: int, generator: torch.Generator) -> Tensor:
    """Random images of every class: first ``quota`` [K] of the k-th smallest label, then others up to ``total``."""
    order = torch.randperm(len(labels), generator=generator)
    numbers = labels.unique(return_inverse=True)[1][order]
    wanted = _rank_in_class(numbers) < quota[numbers]
    return torch.cat([order[wanted], order[~wanted]])[:total]


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many images of the same label come before each: [N]."""
    order = labels.argsort(stable=True)
    counts = labels.unique(return_counts=True)[1]
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(labels)) - first)
