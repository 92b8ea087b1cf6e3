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
    """Soft assignments of n samples to k clusters of equal size (SwAV, arXiv 2006.09882 eq. 3 to 5); no gradient.

    It starts from exp(scores / epsilon). Each iteration first gives every cluster the same total, then every sample the
    total 1. The first iteration is on logarithms, so no epsilon overflows; after it each cluster has a sample that
    gives it at least 1 / (n k).

    Args:
        scores: float [n, k], how well each sample fits each cluster, such as cosines with prototypes.
        epsilon: what scores are divided by, above 0; a smaller one makes assignments sharper.
        iterations: how many; 0 gives softmax(scores / epsilon), without equal sizes.
        gather: make clusters of equal size over the samples of all processes; the result has the rows of this one.

    Returns:
        Assignments [n, k], from 0 to 1; each row sums to 1.
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

    Args:
        scores_x: float [n, k], the products of the first view's unit embeddings with k unit prototypes.
        scores_y: the same for the second view.
        temperature: what scores are divided by in the prediction, above 0.
        epsilon: what they are divided by in the assignment, as in `sinkhorn`.
        iterations: of `sinkhorn`.
        gather: take the mean, and make clusters of equal size, over the samples of all processes.
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
    """DINO's cross-entropy for one pair of views, mean over samples (arXiv 2104.14294 eq. 1 and section 3.1).

    The target is softmax((teacher - center) / teacher_temperature), which gets no gradient.

    Args:
        student: logits [n, k] of one view.
        teacher: logits [n, k] of the other view.
        center: what is subtracted from the teacher's logits, [k] or [1, k].
        student_temperature: what the student's logits are divided by, above 0.
        teacher_temperature: what the teacher's are divided by, above 0; a smaller one makes the target sharper.
    """
    target = ((teacher - center) / teacher_temperature).softmax(1).detach()
    return F.cross_entropy(student / student_temperature, target)
