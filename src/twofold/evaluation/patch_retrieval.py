"""Patch retrieval: each patch of a test image asks for the nearest patches of training images."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from twofold import rng

BANK = 20_000
"""How many patches of all training images together are kept, about."""
QUERIES = 5000
"""How many patches of all test images together ask, but at least one of each."""
NEAREST = 10
"""How many of the nearest patches are looked at."""
AT_ONCE = 512
"""How many patches ask at once."""


def sample_patches(
    batches: Iterable[Tensor], numbers: Sequence[int], most: int, seed: int, split: str
) -> tuple[Tensor, Tensor]:
    """Random patches of images, equally many of each and about ``most`` in all, at least one of each.

    Args:
        batches: the features of the images' patches, float [n, h, w, D].
        numbers: of the images, in the order of the batches.
        most: how many patches.
        seed: decides which, with the image's number and ``split``: they are the same for every representation whose
            grid is.
        split: of what the images are.

    Returns:
        The features [P, D], and the number of each patch's image [P].
    """
    found, owners = [], []
    for own, number in zip((own for maps in batches for own in maps), numbers, strict=True):
        patches = own.flatten(0, 1)
        each = max(1, min(len(patches), most // len(numbers)))
        order = torch.randperm(len(patches), generator=rng.generator(seed, "patches", split, number))
        found.append(patches[order[:each]])
        owners.append(torch.full((each,), number))
    return torch.cat(found), torch.cat(owners)


def shares(
    bank: Float[Tensor, "n d"],
    bank_labels: Int[Tensor, " n"],
    queries: Float[Tensor, "m d"],
    labels: Int[Tensor, " m"],
    k: int,
) -> Float[Tensor, " m"]:
    """For each query the share of its class among the ``k`` patches of the bank with the largest cosines."""
    bank = F.normalize(bank)
    found = []
    for block, wanted in zip(F.normalize(queries).split(AT_ONCE), labels.split(AT_ONCE), strict=True):
        nearest = (block @ bank.T).topk(k).indices
        found.append((bank_labels[nearest] == wanted[:, None]).float().mean(1))
    return torch.cat(found)
