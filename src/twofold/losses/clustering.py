"""Losses on assignments to prototypes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.errors import UsageError
from twofold.losses.energy import Scalar
from twofold.losses.precision import exact

Scores = Float[Tensor, "n k"]

FOLDED = 3
"""Sinkhorn's iterations after which its factors go into the matrix. One changes a factor by n k at most."""


@torch.no_grad()
@exact
def sinkhorn(scores: Scores, epsilon: float = 0.05, iterations: int = 3, gather: bool = False) -> Scores:
    """Soft assignments of n samples to k clusters of equal size (SwAV, arXiv 2006.09882 eq. 3 to 5); no gradient.

    It starts from exp(scores / epsilon), scaled so that no epsilon overflows and no sample or cluster vanishes: each
    sample's largest entry is 1, and so is one entry of each cluster. Each iteration first gives every cluster the same
    total, then every sample the total 1. What is to be multiplied in is kept as one factor a sample and one a cluster,
    and goes into the matrix after every third iteration, long before it could overflow.

    Args:
        scores: float [n, k], how well each sample fits each cluster, such as cosines with prototypes.
        epsilon: what scores are divided by, above 0; a smaller one makes assignments sharper.
        iterations: how many; 0 gives softmax(scores / epsilon), without equal sizes.
        gather: make clusters of equal size over the samples of all processes, each of which keeps its own rows; they
            need not be equally many, but at least one each.

    Returns:
        Assignments [n, k], from 0 to 1; each row sums to 1.
    """
    if iterations < 0 or not epsilon > 0:
        raise UsageError(f"sinkhorn: epsilon must be above 0, iterations at least 0, not {epsilon:g} and {iterations}")
    log = scores / epsilon
    if not iterations:
        return log.softmax(1)
    shared = gather and dist.world() > 1
    best = log.amax(0)
    log -= dist.largest(best) if shared else best
    samples = log.amax(1)
    matrix = log.sub_(samples[:, None]).exp_()
    samples = samples.exp_()
    for done in range(1, iterations + 1):
        totals = torch.mv(matrix.T, samples)
        clusters = (dist.total(totals) if shared else totals).reciprocal_()
        samples = torch.mv(matrix, clusters).reciprocal_()
        if done % FOLDED == 0 or done == iterations:
            matrix.mul_(clusters).mul_(samples[:, None])
            samples.fill_(1)
    return matrix


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
def multi_crop(scores: Sequence[Scores], codes: Sequence[Scores], temperature: float = 0.1) -> Scalar:
    """The loss of SwAV and DINO for views of several sizes: each view predicts the code of every other full-size view.

    It is the mean over these pairs of the cross-entropy of softmax(scores / temperature) against the other view's code
    (arXiv 2006.09882 section 3.2, 2104.14294 eq. 3). Cross-entropy is linear in the code, so each view is compared
    once, with the sum of the codes.

    Args:
        scores: float [n, k] of each view, the full-size ones first.
        codes: float [n, k] of the full-size views, at least two, such as `sinkhorn` or `centred_softmax` gives them.
        temperature: what scores are divided by, above 0.
    """
    if not 2 <= len(codes) <= len(scores):
        raise UsageError(f"multi_crop: {len(codes)} codes of {len(scores)} views, of which two at least are full-size")
    every = sum(codes[1:], start=codes[0])
    terms = []
    for i, view in enumerate(scores):
        others = [code for j, code in enumerate(codes) if j != i]
        target = sum(others[1:], start=others[0]) if i < len(codes) else every
        terms.append(assignment(view, target, temperature))
    return torch.stack(terms).sum() / ((len(scores) - 1) * len(codes))


@exact
def dino(
    student: Scores,
    teacher: Scores,
    center: Float[Tensor, "*one k"],
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Scalar:
    """DINO's cross-entropy for one pair of views, mean over samples (arXiv 2104.14294 eq. 2).

    The target is `centred_softmax`. For several views at once `multi_crop` is faster.

    Args:
        student: logits [n, k] of one view.
        teacher: logits [n, k] of the other view.
        center: what is subtracted from the teacher's logits, [k] or [1, k].
        student_temperature: what the student's logits are divided by, above 0.
        teacher_temperature: what the teacher's are divided by, above 0; a smaller one makes the target sharper.
    """
    return assignment(student, centred_softmax(teacher, center, teacher_temperature), student_temperature)


@torch.no_grad()
@exact
def centred_softmax(teacher: Scores, center: Float[Tensor, "*one k"], temperature: float = 0.04) -> Scores:
    """DINO's target, softmax((teacher - center) / temperature): each row sums to 1; no gradient (section 3.1).

    Args:
        teacher: logits [n, k].
        center: what is subtracted from them, [k] or [1, k].
        temperature: what they are divided by, above 0; a smaller one makes the target sharper.
    """
    if center.shape[:-1].numel() != 1:
        raise UsageError(f"centred_softmax: center must be [k] or [1, k], not {list(center.shape)}")
    return ((teacher - center.reshape(-1)) / temperature).softmax(1)
