"""InfoNCE and its kin: the positive pair against many others.

Every one is an energy and a functional: with similarity s (the cosine, or the product of embeddings as they are),

    attraction   mean of (1 - s(x, y)) / temperature                  the energy: a squared distance of unit vectors
    repulsion    mean of log sum over others exp((s - 1) / temperature)   the functional

whose sum is the mean of -log of the softmax. Where all embeddings are alike, attraction is 0 and repulsion the
logarithm of the number of others.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.precision import exact

Same = tuple[Int[Tensor, " n"], Int[Tensor, " k"]] | None

BLOCK = 1 << 24
"""Similarities held at once; more are computed in blocks of rows, again in the backward pass."""


@exact
def nt_xent(x: Embeddings, y: Embeddings, temperature: float = 0.5, gather: bool = False) -> Scalar:
    """SimCLR's loss, mean over the 2n views (arXiv 2002.05709 eq. 1).

    Each view's positive is the other view of its image; its negatives are the 2n - 2 views of other images.
    Embeddings need not be normalised. Where all embeddings are alike it is ln(2n - 1). With ``gather`` the n images are
    those of all processes.
    """
    if gather:
        x, y = dist.gather(x), dist.gather(y)
    return attraction(x, y, temperature) + repulsion(x, y, temperature)


@exact
def attraction(x: Embeddings, y: Embeddings, temperature: float = 0.5, normalize: bool = True) -> Scalar:
    """Mean of (1 - cos) / temperature, 0 to 2 / temperature; without ``normalize`` the product instead of cos."""
    if normalize:
        x, y = F.normalize(x), F.normalize(y)
    return (1 - (x * y).sum(1)).mean() / temperature


@exact
def repulsion(
    x: Embeddings,
    y: Embeddings,
    temperature: float = 0.5,
    normalize: bool = True,
    memory: Float[Tensor, "k d"] | None = None,
    gather: bool = False,
) -> Scalar:
    """The rest of `nt_xent`: mean over the 2n views of the log of the sum over the 2n - 1 others, and a ``memory``.

    Where all embeddings are alike it is ln(2n - 1 + k). With ``gather`` the n images are those of all processes.
    """
    if gather:
        x, y = dist.gather(x), dist.gather(y)
    views = torch.cat([x, y])
    others = views if memory is None else torch.cat([views, memory.to(views.dtype)])
    if normalize:
        views, others = F.normalize(views), F.normalize(others)
    number = torch.arange(len(others), device=x.device)
    return log_sum_exp(views, others, temperature, number[: len(views)], number).mean() - 1 / temperature


@exact
def info_nce(
    query: Embeddings,
    key: Embeddings,
    negatives: Float[Tensor, "k d"],
    temperature: float = 0.2,
    gather: bool = False,
) -> Scalar:
    """MoCo's loss, mean over queries (arXiv 1911.05722 eq. 1): each query's own key against k shared negatives.

    Embeddings need not be normalised. Where all embeddings are alike it is ln(k + 1). With ``gather`` the mean is over
    the queries of all processes, which hold the same negatives.
    """
    if gather:
        query, key = dist.gather(query), dist.gather(key)
    return attraction(query, key, temperature) + repulsion_from(query, key, negatives, None, temperature)


@exact
def repulsion_from(
    query: Embeddings,
    key: Embeddings,
    negatives: Float[Tensor, "k d"],
    same: Same = None,
    temperature: float = 0.2,
    normalize: bool = True,
) -> Scalar:
    """The rest of `info_nce`: mean over queries of the log of the sum over own key and negatives.

    ``same``: a number for each query and each negative; a negative with the query's number is none of its own.
    """
    negatives = negatives.to(query.dtype)
    if normalize:
        query, key, negatives = F.normalize(query), F.normalize(key), F.normalize(negatives)
    positive = (query * key).sum(1) / temperature
    rest = log_sum_exp(query, negatives, temperature, *(same or (None, None)))
    return torch.logaddexp(positive, rest).mean() - 1 / temperature


@exact
def margin_hinge(
    x: Embeddings,
    y: Embeddings,
    margin: float = 1.0,
    memory: Float[Tensor, "k d"] | None = None,
    gather: bool = False,
) -> Scalar:
    """Mean of max(0, margin - |x_i - y_j|)^2 / 2 over pairs of different images, i != j.

    (The dissimilar pairs' term of Hadsell, Chopra and LeCun, CVPR 2006, eq. 4.) Pairs farther apart than the margin
    get no gradient, nor do those that coincide, which have no direction. With a ``memory`` of k embeddings of other
    images x_i is paired with these, too. Where all embeddings are alike it is margin^2 / 2. With ``gather`` the images
    are those of all processes.
    """
    if gather:
        x, y = dist.gather(x), dist.gather(y)
    others = y if memory is None else torch.cat([y, memory.to(y.dtype)])
    middle = others.detach().mean(0)  # distances are more exact about the middle
    x, others = x - middle, others - middle
    number = torch.arange(len(others), device=x.device)

    def block(part: Tensor, own: Any) -> Tensor:
        square = part.square().sum(1, keepdim=True) + others.square().sum(1) - 2 * part @ others.T
        short = F.relu(margin - square.clamp_min(1e-12).sqrt()).square() / 2
        return short.masked_fill(own[:, None] == number, 0).sum(1)

    return _by_rows(block, x, number[: len(x)], len(others)).sum() / (len(x) * (len(others) - 1))


def log_sum_exp(
    rows: Tensor, columns: Tensor, temperature: float, row_number: Tensor | None, column_number: Tensor | None
) -> Tensor:
    """log sum_j exp(rows_i . columns_j / temperature) for each i, over the columns of another number than the row's."""

    def block(part: Tensor, number: Tensor | None) -> Tensor:
        logits = part @ columns.T / temperature
        if number is not None and column_number is not None:
            left_out: Bool[Tensor, "n k"] = number[:, None] == column_number
            logits = logits.masked_fill(left_out, -torch.inf)
        return logits.logsumexp(1)

    return _by_rows(block, rows, row_number, len(columns))


def rows_at_once(width: int) -> int:
    """How many rows of so many numbers are held at once."""
    return max(1, BLOCK // max(1, width))


def _by_rows(block: Callable[[Tensor, Any], Tensor], rows: Tensor, row_number: Tensor | None, width: int) -> Tensor:
    """What ``block`` makes of rows and their numbers, which takes ``width`` numbers a row, in blocks of rows."""
    height = rows_at_once(width)
    if height >= len(rows):
        return block(rows, row_number)
    numbers = row_number.split(height) if row_number is not None else [None] * -(-len(rows) // height)
    parts = [checkpoint(block, part, n, use_reentrant=False) for part, n in zip(rows.split(height), numbers)]
    return torch.cat(parts)
