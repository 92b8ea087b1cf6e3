"""InfoNCE and its kin: the positive pair against many others.

Every one is an energy and a functional: with similarity s (the cosine, or the product of embeddings as they are),

    attraction   mean of (1 - s(x, y)) / temperature                  the energy: a squared distance of unit vectors
    repulsion    mean of log sum over others exp((s - 1) / temperature)   the functional

whose sum is the mean of -log of the softmax. Where all embeddings are alike, attraction is 0 and repulsion the
logarithm of the number of others.
"""

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
    return _log_sum_exp(views, others, temperature, number[: len(views)], number).mean() - 1 / temperature


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
    rest = _log_sum_exp(query, negatives, temperature, *(same or (None, None)))
    return torch.logaddexp(positive, rest).mean() - 1 / temperature


def _log_sum_exp(
    rows: Tensor, columns: Tensor, temperature: float, row_number: Tensor | None, column_number: Tensor | None
) -> Tensor:
    """log sum_j exp(rows_i . columns_j / temperature) for each i, over the columns of another number than the row's."""

    def block(part: Tensor, number: Tensor | None) -> Tensor:
        logits = part @ columns.T / temperature
        if number is not None and column_number is not None:
            left_out: Bool[Tensor, "n k"] = number[:, None] == column_number
            logits = logits.masked_fill(left_out, -torch.inf)
        return logits.logsumexp(1)

    height = max(1, BLOCK // max(1, len(columns)))
    if height >= len(rows):
        return block(rows, row_number)
    numbers = row_number.split(height) if row_number is not None else [None] * -(-len(rows) // height)
    parts = [checkpoint(block, part, n, use_reentrant=False) for part, n in zip(rows.split(height), numbers)]
    return torch.cat(parts)
