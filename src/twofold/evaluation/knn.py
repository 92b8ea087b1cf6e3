"""Weighted nearest neighbours on frozen features (arXiv 1805.01978, section 3.4)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def knn_predict(
    bank: Float[Tensor, "n d"],
    bank_labels: Int[Tensor, " n"],
    queries: Float[Tensor, "m d"],
    k: int = 200,
    temperature: float = 0.1,
) -> Int[Tensor, " m"]:
    """The class with the largest sum of exp(cosine / temperature) over the k nearest of the bank.

    ``k`` is capped at the mean number of images a class: in a small bank, 200 neighbours would be of all classes.
    """
    names, numbers = bank_labels.unique(return_inverse=True)
    k = neighbours(len(bank), len(names), k)
    bank = F.normalize(bank)
    predictions = []
    for part in F.normalize(queries).split(2048):
        similarity, nearest = (part @ bank.T).topk(k)
        votes = torch.zeros(len(part), len(names), device=part.device)
        votes.scatter_add_(1, numbers[nearest], ((similarity - 1) / temperature).exp())
        predictions.append(names[votes.argmax(1)])
    return torch.cat(predictions)


def neighbours(images: int, classes: int, k: int = 200) -> int:
    """``k``, capped for a small bank."""
    return max(1, min(k, images // classes))


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of predictions that are right, 0 to 1."""
    return (predicted == labels).float().mean().item()
