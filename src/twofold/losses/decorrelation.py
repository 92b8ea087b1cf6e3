"""Functionals A and B on the batch: every dimension must vary, and no two together."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar, squared
from twofold.losses.precision import at_least_two, exact, once


@exact
def variance(x: Embeddings, gather: bool = False) -> Scalar:
    """VICReg's variance term (arXiv 2105.04906 eq. 1): mean over dimensions of max(0, 1 - sqrt(var + 1e-4)).

    The variance is over the n images, unbiased. The term is 0.99 for a constant batch.

    Args:
        x: embeddings [n, d] of one view, n at least 2.
        gather: take the variance over the images of all processes.
    """
    if gather and dist.world() > 1:
        n = len(x) * dist.world()
        spread = dist.mean((x - dist.statistic(x.mean(0))).square().mean(0)) * n / (n - 1)
    else:
        at_least_two(len(x), "variance")
        spread = x.var(0)
    return F.relu(1 - (spread + 1e-4).sqrt()).mean()


@exact
def covariance(x: Embeddings, gather: bool = False) -> Scalar:
    """VICReg's covariance term (arXiv 2105.04906 eq. 4): sum of squared off-diagonal covariances, divided by d.

    Args:
        x: embeddings [n, d] of one view, n at least 2.
        gather: take the covariance over the images of all processes; each process computes its own rows' part.
    """
    shared = gather and dist.world() > 1
    n, d = at_least_two(len(x) * (dist.world() if shared else 1), "covariance"), x.shape[1]
    x = x - (dist.statistic(x.mean(0)) if shared else x.mean(0))
    return _products(x, x, shared)[1] / ((n - 1) ** 2 * d)


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

    Args:
        x: embeddings [n, d] of one view of each image.
        y: embeddings [n, d] of the other view.
        invariance: the weight of the mean squared error between the two.
        variance: the weight of `variance`, averaged over the two views.
        covariance: the weight of `covariance`, summed over the two views.
        gather: take the images of all processes.
    """
    terms = vicreg_terms(x, y, gather)
    return invariance * terms["invariance"] + variance * terms["variance"] + covariance * terms["covariance"]


def vicreg_terms(x: Embeddings, y: Embeddings, gather: bool = False) -> dict[str, Tensor]:
    """VICReg's three terms by name, not yet weighed."""
    return {
        "invariance": dist.mean(squared(x, y)) if gather else squared(x, y),
        "variance": (variance(x, gather) + variance(y, gather)) / 2,
        "covariance": covariance(x, gather) + covariance(y, gather),
    }


@exact
def barlow_twins(x: Embeddings, y: Embeddings, redundancy: float = 0.0051, gather: bool = False) -> Scalar:
    """Barlow Twins' loss: sum of (C_ii - 1)^2 + redundancy * sum of C_ij^2, i != j (arXiv 2103.03230 eq. 1).

    C [d, d] is the cross-correlation of the two views, each dimension standardised over the batch (biased variance,
    epsilon 1e-5, as batch norm does).

    Args:
        x: embeddings [n, d] of one view of each image.
        y: embeddings [n, d] of the other view.
        redundancy: the weight of the second sum.
        gather: take the images of all processes.
    """
    terms = barlow_twins_terms(x, y, gather)
    return terms["invariance"] + redundancy * terms["redundancy"]


@exact
def barlow_twins_terms(x: Embeddings, y: Embeddings, gather: bool = False) -> dict[str, Tensor]:
    """Barlow Twins' two terms by name, not yet weighed; of a constant batch d and 0."""
    shared = gather and dist.world() > 1
    x, y = (_standardised(z, shared) for z in (x, y))
    n = len(x) * (dist.world() if shared else 1)
    same, different = _products(x, y, shared)
    return {"invariance": (same / n - 1).square().sum(), "redundancy": different / n**2}


def _standardised(x: Tensor, shared: bool) -> Tensor:
    """Each dimension with mean 0 and variance 1 over the batch, as a batch norm does it."""
    if not shared:
        at_least_two(len(x), "barlow_twins")
        return F.batch_norm(x, None, None, training=True)
    x = x - dist.statistic(x.mean(0))
    return x * (dist.statistic(x.square().mean(0)) + 1e-5).rsqrt()


def _products(x: Tensor, y: Tensor, shared: bool) -> tuple[Tensor, Tensor]:
    """Of the d x d matrix x^T y its diagonal, and the sum of its other entries' squares, in the cheaper of two forms.

    The sum of all squares equals that of the products of two n x n Gram matrices, x x^T and y y^T. Where rows are
    ``shared`` over processes each computes the part of its own rows. A symmetric matrix has its gradient twice, by its
    rows and by its columns; it is computed once and counts twice.
    """
    world = dist.world() if shared else 1
    if len(x) * world >= x.shape[1]:
        matrix = _over_all((x.detach() if x is y else x).T @ y, shared)
        diagonal, every = matrix.diagonal(), matrix.square().sum()
        if x is y:
            diagonal, every = _Twice.apply(diagonal), _Twice.apply(every)
    else:
        every_x = (dist.gather(x) if shared else x).detach()
        every_y = every_x if x is y else (dist.gather(y) if shared else y).detach()
        of_x = x @ every_x.T
        diagonal = _over_all((x * y).sum(0), shared)
        every = _Twice.apply(_over_all((of_x * (of_x if x is y else y @ every_y.T)).sum(), shared))
    return diagonal, every - diagonal.square().sum()


def _over_all(part: Tensor, shared: bool) -> Tensor:
    """The sum over processes of what each has of it, if rows are ``shared``."""
    return dist.mean(part) * dist.world() if shared else part


class _Twice(torch.autograd.Function):
    """A value with twice its gradient, which can be taken once."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    @once
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient
