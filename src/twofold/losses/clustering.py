"""Losses on assignments to prototypes."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Scalar
from twofold.losses.precision import exact

Scores = Float[Tensor, "n k"]


@torch.no_grad()
@exact
def sinkhorn(scores: Scores, epsilon: float = 0.05, iterations: int = 3, gather: bool = False) -> Scores:
    """Soft assignments with clusters of equal size (SwAV, arXiv 2006.09882 eq. 3 to 5); no gradient.

    Starts from exp(scores / epsilon); each iteration first gives every cluster the same total, then every sample
    the total 1. Rows of the result sum to 1. The first iteration is on logarithms, so no epsilon overflows; after it
    each cluster has a sample that gives it at least 1 / (n k). With ``gather`` clusters are of equal size over the
    samples of all processes; the result has the rows of this one.
    """
    log = (dist.gather(scores) if gather else scores) / epsilon
    if iterations:
        log -= log.logsumexp(0, keepdim=True)
    balanced = log.softmax(1)
    for _ in range(iterations - 1):
        balanced /= balanced.sum(0, keepdim=True)
        balanced /= balanced.sum(1, keepdim=True)
    return balanced.chunk(dist.world())[dist.rank()] if gather else balanced


@exact
def swapped_prediction(
    scores_x: Scores,
    scores_y: Scores,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    gather: bool = False,
) -> Scalar:
    """SwAV's loss for two views (arXiv 2006.09882 eq. 2): each view predicts the other's assignment; mean of the two.

    Scores are products of unit embeddings and unit prototypes. With ``gather`` the mean, and the equal size
    of the clusters, are over the samples of all processes.
    """
    x_from_y = assignment(scores_x, sinkhorn(scores_y, epsilon, iterations, gather), temperature)
    y_from_x = assignment(scores_y, sinkhorn(scores_x, epsilon, iterations, gather), temperature)
    loss = (x_from_y + y_from_x) / 2
    return dist.mean(loss) if gather else loss


@exact
def assignment(scores: Scores, code: Scores, temperature: float = 0.1) -> Scalar:
    """Half of `swapped_prediction`: cross-entropy of softmax(scores / temperature) against a given code."""
    return F.cross_entropy(scores / temperature, code)


@exact
def dino(
    student: Scores,
    teacher: Scores,
    center: Float[Tensor, "*one k"],
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Scalar:
    """DINO's cross-entropy for one pair of views, logits [n, k] (arXiv 2104.14294 eq. 1 and section 3.1).

    The teacher is centred and sharpened and gets no gradient.
    """
    target = ((teacher - center) / teacher_temperature).softmax(1).detach()
    return F.cross_entropy(student / student_temperature, target)
