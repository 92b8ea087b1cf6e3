"""Classes for all of a collection from a few labels: labels spread between neighbours, and a linear probe.

A linear probe learns from the few labelled images alone. Here the images without labels are used too, since they show
which images are of one kind: every image passes the labels that reach it on to its nearest neighbours.

Labels spread by F = (1 - a) (I - a S)^-1 Y, S = D^-1/2 W D^-1/2, with D the sums of the rows of W (Zhou et al.,
Learning with Local and Global Consistency, NeurIPS 2003). As in arXiv 1904.04717 and its code, W = A + A^T, where A_ij
is max(0, cosine)^3 if j is one of the nearest neighbours of i, and else 0; and a class has the same weight in Y however
many labels it has. Two things differ from that paper: the mean of all features is subtracted before cosines are taken;
and there are 10 neighbours instead of 50 and a = 0.95 instead of 0.99, for collections smaller than its 50,000 images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from twofold.encoding.nearest import nearest
from twofold.evaluation.arrays import Array, Labels, as_few
from twofold.evaluation.fewshot import probes_of

NEIGHBOURS = 10
POWER = 3
SHARE = 0.95
"""a: how much of what an image has comes from its neighbours; the rest is its own label."""
ROUNDS = 90
"""How often images pass labels on. More rounds would add at most a to this power, 1 %, of all that there is; an
image so many neighbours away from every label counts as reached by none."""


def graph_of(features: Tensor) -> csr_array:
    """S, [N, N] and sparse, of features [N, D] with N from 2 on."""
    cosines, numbers = (found.cpu() for found in nearest(features, NEIGHBOURS))
    count, each = numbers.shape
    rows = np.arange(count).repeat(each)
    weights = cosines.clamp_min(0).pow(POWER).flatten().numpy()
    one_way = coo_array((weights, (rows, numbers.flatten().numpy())), (count, count)).tocsr()
    both = (one_way + one_way.T).tocoo()
    degree = np.maximum(both.sum(1), np.finfo(np.float32).tiny)
    row, column = both.coords
    return csr_array((both.data / np.sqrt(degree[row]) / np.sqrt(degree[column]), (row, column)), both.shape)


def spread(graph: csr_array, labelled: Tensor, classes: Tensor, count: int) -> Tensor:
    """Each image's probability of each class, float32 [N, count], by the labels that reach it; else all classes alike.

    Args:
        graph: as `graph_of` gives it.
        labelled: the numbers of the images that have a label, [n].
        classes: the numbers of their classes, [n], each below ``count``.
        count: how many classes there are.
    """
    own = np.zeros((graph.shape[0], count), np.float32)
    own[labelled.numpy(), classes.numpy()] = 1 / classes.bincount(minlength=count)[classes].numpy()
    found = own
    for _ in range(ROUNDS):
        found = SHARE * (graph @ found) + (1 - SHARE) * own
    total = found.sum(1, keepdims=True)
    return torch.from_numpy(np.where(total > 0, found / np.where(total > 0, total, 1), 1 / count).astype(np.float32))


def probabilities(features: Tensor, graph: csr_array, labels: Tensor, chosen: Tensor) -> Iterator[Tensor]:
    """Of all images, for each of several draws of labels, the probability of each class, [N, K], in their order.

    It is the mean of the linear probe's probabilities and those of the labels that spread. With few labels the probe's
    are nearly the same for all classes, so that spreading decides; with many the probe's are near 0 and 1 and decide.

    Args:
        features: of all images, [N, D].
        graph: theirs.
        labels: of the first images, [L].
        chosen: the numbers of the images whose labels are drawn, [B, n], each below L.
    """
    names, numbers = labels.unique(return_inverse=True)
    for probe, some in zip(probes_of(features, labels, chosen), chosen, strict=True):
        yield (probe.probabilities(features) + spread(graph, some, numbers[some], len(names))) / 2


@dataclass(frozen=True)
class Labelled:
    """Classes for images that had none.

    Attributes:
        classes: the K classes, sorted, as texts.
        probabilities: of each class for each image, float32 [M, K]; a row sums to 1.
    """

    classes: list[str]
    probabilities: Tensor


def label_the_rest(labelled: Array, labels: Labels, others: Array) -> Labelled:
    """Classes for images that have none, from a few that have one, by frozen features of both.

    The probabilities are the mean of two: those of a linear probe of the labelled images, and those of labels that
    spread over a graph of the 10 nearest neighbours of all images (Zhou et al., Learning with Local and Global
    Consistency, NeurIPS 2003, on the graph of arXiv 1904.04717). They order images by how sure their class is, but
    they are no frequencies: with few labels more of them are right than the probabilities say.

    Args:
        labelled: features of the labelled images, float [n, D].
        labels: their labels, [n], of at least two classes.
        others: features of the images without labels, float [M, D]. The more they are, the more they say of each other.

    Raises:
        UsageError: if the arrays are not such features and labels.
    """
    known, numbers, rest, classes = as_few(labelled, labels, others)
    features = torch.cat([known, rest])
    every = torch.arange(len(known))[None]
    (found,) = probabilities(features, graph_of(features), numbers, every)
    return Labelled(classes, found[len(known) :])
