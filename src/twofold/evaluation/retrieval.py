"""Retrieval: every query ranks a bank of images by the cosine of their features."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from twofold.encoding.progress import Tell, silent

DEPTHS = (1, 5, 10)
"""Whether the class is among so many first images is measured."""
ELEMENTS = 1 << 23
"""How many cosines are ranked at once: 32 MiB of them."""


def rank(
    bank: Float[Tensor, "n d"],
    bank_labels: Int[Tensor, " n"],
    queries: Float[Tensor, "m d"],
    labels: Int[Tensor, " m"],
    tell: Tell = silent,
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m depths"]]:
    """Each query's average precision over the whole ranking, and whether the first 1, 5, 10 have its class, 0 or 1.

    The average precision is the mean, over the images of the query's class, of the share of that class among all images
    down to this one; 0 where the bank has none of the class.
    """
    bank = F.normalize(bank)
    depth = torch.arange(1, len(bank) + 1, device=bank.device)
    precisions, found = [], []
    at_once = max(1, ELEMENTS // len(bank))
    for block, wanted in zip(F.normalize(queries).split(at_once), labels.split(at_once), strict=True):
        order = (block @ bank.T).argsort(dim=1, descending=True, stable=True)
        right = (bank_labels[order] == wanted[:, None]).float()
        precision = right.cumsum(1) / depth * right
        precisions.append(precision.sum(1) / right.sum(1).clamp_min(1))
        found.append(torch.stack([right[:, :k].amax(1) for k in DEPTHS], 1))
        tell("queries", sum(map(len, found)), len(queries))
    return torch.cat(precisions), torch.cat(found)
