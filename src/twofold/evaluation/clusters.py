"""Clusters without labels: how well they match the classes, and how far a few labels name them."""

import warnings

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn import functional as F

from twofold import rng

LABELS = (1, 2, 5, 10)
"""How many images of a cluster are labelled, to name it."""
STARTS = 5
"""How often k-means begins anew."""
DRAWS = 10
"""How often the labelled images are drawn."""


def sizes(images: int, classes: int) -> tuple[int, ...]:
    """How many clusters: as many as classes, and ten times as many where that leaves ten images for each."""
    return (classes, 10 * classes) if images >= 100 * classes else (classes,)


def kmeans(values: Tensor, count: int, seed: int) -> Tensor:
    """The cluster of each of the features [N, D], scaled to length 1: k-means from a single k-means++ start, [N]."""
    model = KMeans(count, n_init=1, random_state=rng.fold(seed, "k-means", count) % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # features that have collapsed are fewer than the clusters
        return torch.from_numpy(model.fit_predict(F.normalize(values).numpy())).long()


def centres(values: Tensor, clusters: Tensor, count: int) -> Tensor:
    """The mean of each cluster's features of length 1: [count, D]."""
    sums = torch.zeros(count, values.shape[1]).index_add_(0, clusters, F.normalize(values))
    return sums / clusters.bincount(minlength=count).clamp_min(1)[:, None]


def nearest_centre(values: Tensor, middle: Tensor) -> Tensor:
    """The number [N] of the nearest centre for features [N, D], scaled to length 1."""
    return torch.cat([torch.cdist(block, middle).argmin(1) for block in F.normalize(values).split(4096)])


def named(clusters: Tensor, labels: Tensor, count: int, shots: int, seed: int, draw: int) -> tuple[Tensor, int]:
    """The class that each cluster is taken for, [count], and how many labels that took.

    ``shots`` images of each cluster are labelled, or all that it has, and the commonest label names it; of equally
    common ones it is the one that was drawn first. A cluster without an image has the name -1.
    """
    order = torch.randperm(len(labels), generator=rng.generator(seed, "name clusters", count, shots, draw))
    names = torch.full((count,), -1)
    used = 0
    for cluster in clusters.unique().tolist():
        seen = labels[order[clusters[order] == cluster][:shots]].tolist()
        names[cluster] = max(seen, key=seen.count)  # the first of equals
        used += len(seen)
    return names, used
