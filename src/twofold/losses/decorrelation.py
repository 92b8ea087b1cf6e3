"""Functionals A and B on the batch: every dimension must vary, and no two together."""

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar, squared
from twofold.losses.precision import exact


@exact
def variance(x: Embeddings, gather: bool = False) -> Scalar:
    """Mean over dimensions of max(0, 1 - sqrt(var + 1e-4)) (arXiv 2105.04906 eq. 1); 0.99 for a constant batch.

    With ``gather`` the variance is over the images of all processes.
    """
    if gather:
        x = dist.gather(x)
    return F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()


@exact
def covariance(x: Embeddings, gather: bool = False) -> Scalar:
    """Sum of the squared off-diagonal entries of the covariance matrix, divided by d (arXiv 2105.04906 eq. 4).

    With ``gather`` the covariance is over the images of all processes.
    """
    if gather:
        x = dist.gather(x)
    n, d = x.shape
    x = x - x.mean(0)
    return (_squared_norm_of_gram(x) - x.square().sum(0).square().sum()) / ((n - 1) ** 2 * d)


@exact
def vicreg(
    x: Embeddings,
    y: Embeddings,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    gather: bool = False,
) -> Scalar:
    """VICReg's loss as in its paper's code (arXiv 2105.04906 eq. 6).

    ``invariance`` weighs the mean squared error, ``variance`` the hinge averaged over the two views, ``covariance``
    the off-diagonal covariance summed over them. With ``gather`` the batch is that of all processes.
    """
    if gather:
        x, y = dist.gather(x), dist.gather(y)
    terms = vicreg_terms(x, y)
    return invariance * terms["invariance"] + variance * terms["variance"] + covariance * terms["covariance"]


def vicreg_terms(x: Embeddings, y: Embeddings) -> dict[str, Tensor]:
    """VICReg's three terms by name, not yet weighed."""
    return {
        "invariance": squared(x, y),
        "variance": (variance(x) + variance(y)) / 2,
        "covariance": covariance(x) + covariance(y),
    }


@exact
def barlow_twins(x: Embeddings, y: Embeddings, redundancy: float = 0.0051, gather: bool = False) -> Scalar:
    """Sum of (C_ii - 1)^2 + redundancy * sum of C_ij^2, i != j (arXiv 2103.03230 eq. 1).

    C is the cross-correlation of the two views, each dimension standardised over the batch (biased variance,
    epsilon 1e-5, as batch norm does). With ``gather`` the batch is that of all processes.
    """
    if gather:
        x, y = dist.gather(x), dist.gather(y)
    terms = barlow_twins_terms(x, y)
    return terms["invariance"] + redundancy * terms["redundancy"]


@exact
def barlow_twins_terms(x: Embeddings, y: Embeddings) -> dict[str, Tensor]:
    """Barlow Twins' two terms by name, not yet weighed; of a constant batch d and 0."""
    n = len(x)
    x, y = (F.batch_norm(z, None, None, training=True) for z in (x, y))
    diagonal = (x * y).sum(0) / n
    # The sum of squares of the d x d matrix x^T y is the sum of the products of two n x n Gram matrices.
    whole = ((x @ x.T) * (y @ y.T)).sum() / n**2 if n < x.shape[1] else (x.T @ y / n).square().sum()
    return {"invariance": (diagonal - 1).square().sum(), "redundancy": whole - diagonal.square().sum()}


def _squared_norm_of_gram(x: Tensor) -> Tensor:
    """||x^T x||_F^2 by the smaller of the two Gram matrices: it equals ||x x^T||_F^2."""
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return torch.sum(gram * gram)
