"""Functionals A and B on the batch: samples must lie apart, and no embedding may grow without bound."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.pairs import REACH, mutual, nearest
from twofold.losses.precision import at_least_two, exact


@exact
def uniformity(x: Embeddings, t: float = 2.0, gather: bool = False) -> Scalar:
    """Log of the mean over pairs of different samples of exp(-t |x_i - x_j|^2) (arXiv 2005.10242 section 4.1).

    It is 0 where all embeddings are alike, and never below -4 t.

    Args:
        x: embeddings [n, d], n at least 2, which are scaled to length 1 first; of length 0, without a direction, they
            count as at right angles to all others.
        t: how fast the weight of a pair falls with its distance, above 0.
        gather: take the samples of all processes; each process computes its own rows.
    """
    # -t |a - b|^2 = 2 t (a . b) - 2 t for unit vectors
    sums = mutual(F.normalize(x) * math.sqrt(2 * t), 2 * t <= REACH, gather)
    n = at_least_two(len(sums), "uniformity")
    return sums.logsumexp(0) - math.log(n * (n - 1)) - 2 * t


@exact
def koleo(x: Embeddings, epsilon: float = 1e-8, gather: bool = False) -> Scalar:
    """Mean of -log of the distance to the nearest other sample, after Kozachenko and Leonenko.

    The formula is arXiv 1806.03198 eq. 2, with unit vectors as in DINOv2, arXiv 2304.07193.

    Args:
        x: embeddings [n, d], n at least 2, which are scaled to length 1 first.
        epsilon: what is added to each distance; where all embeddings are alike the loss is -log(epsilon), 18.4.
        gather: take the samples of all processes; each process looks for the neighbours of its own rows.
    """
    own = F.normalize(x)
    rows = dist.gather(own) if gather else own
    at_least_two(len(rows), "koleo")
    other = nearest(own.detach(), rows.detach(), len(x) * dist.rank() if gather else 0)
    other = dist.gather(other) if gather else other
    apart = rows - rows.index_select(0, other)
    distance: Tensor = torch.linalg.vector_norm(apart, dim=1)  # one of 0 gets no gradient
    return -(distance + epsilon).log().mean()


@exact
def coding_rate(x: Embeddings, epsilon: float = 0.2, gather: bool = False) -> Scalar:
    """Minus half the log-determinant of 1 + d / (n epsilon) x^T x: the total coding rate, to be made large.

    The formula is that of EMP-SSL, arXiv 2304.03977 section 2.2. It is -log(1 + d / epsilon) / 2 where all embeddings
    are alike, and least where they use all directions alike: with n >= d, -d log(1 + 1 / epsilon) / 2.

    Args:
        x: embeddings [n, d], which are scaled to length 1 first.
        epsilon: the squared distortion that is tolerated, above 0, as in EMP-SSL's code: the square of the paper's.
        gather: take the samples of all processes; each process multiplies its own, where they are d or more together.
    """
    rows, processes = F.normalize(x), dist.world() if gather else 1
    n, d = processes * len(x), x.shape[1]
    if n >= d:
        gram = rows.T @ rows
        gram = processes * dist.mean(gram) if gather else gram
    else:  # the smaller matrix has the same determinant
        rows = dist.gather(rows) if gather else rows
        gram = rows @ rows.T
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    root: Tensor = torch.linalg.cholesky_ex(one + gram * d / (n * epsilon)).L  # of no numbers it is none, without error
    return -root.diagonal().log().sum()


@exact
def norm_hinge(x: Embeddings, limit: float | None = None) -> Scalar:
    """Mean over samples of max(0, |x| - limit): embeddings may be as long as they like up to a limit.

    Args:
        x: embeddings [n, d].
        limit: the length up to which nothing is lost; None: sqrt(d), the root mean square length of embeddings whose
            dimensions have mean 0 and variance 1.
    """
    longest = math.sqrt(x.shape[1]) if limit is None else limit
    return F.relu(torch.linalg.vector_norm(x, dim=1) - longest).mean()
