"""Weighted nearest neighbours on frozen features (arXiv 1805.01978, section 3.4)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def knn_predict(
    bank: Float[Tensor, "n d"],
    bank_labels: Int[Tensor, " n"],
    queries: Float[Tensor, "m d"],
    k: int | None = None,
    temperature: float = 0.1,
) -> Int[Tensor, " m"]:
    """The class with the largest sum of exp(cosine / temperature) over the ``k`` nearest of the bank.

    By default k is what `neighbours` gives.
    """
    names, numbers, sizes = bank_labels.unique(return_inverse=True, return_counts=True)
    k = neighbours(sizes) if k is None else k
    bank = F.normalize(bank)
    predictions = []
    for block in F.normalize(queries).split(2048):
        similarity, nearest = (block @ bank.T).topk(k)
        votes = torch.zeros(len(block), len(names), device=block.device)
        votes.scatter_add_(1, numbers[nearest], ((similarity - 1) / temperature).exp())
        predictions.append(names[votes.argmax(1)])
    return torch.cat(predictions)


def neighbours(sizes: Int[Tensor, " c"]) -> int:
    """How many neighbours are asked: 200, as in the paper, but no more than the lower median of the classes' sizes.

    In a small bank 200 neighbours would be of all classes, and a class that has far fewer images would be outvoted.

    Args:
        sizes: how many images of the bank each class has.
    """
    return min(200, int(sizes.median()))  # torch's, which is the lower one of two in the middle


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of predictions that are right, 0 to 1."""
    return (predicted == labels).float().mean().item()
