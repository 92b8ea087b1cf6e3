"""InfoNCE and its kin: the positive pair against many others."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.precision import exact

BLOCK = 1 << 24
"""Similarities held at once; more are computed in blocks of rows, again in the backward pass."""


@exact
def nt_xent(x: Embeddings, y: Embeddings, temperature: float = 0.5) -> Scalar:
    """SimCLR's loss, mean over the 2n views (arXiv 2002.05709 eq. 1).

    Each view's positive is the other view of its image; its negatives are the 2n - 2 views of other images.
    Embeddings need not be normalised. Where all embeddings are alike it is ln(2n - 1).
    """
    n = len(x)
    views = F.normalize(torch.cat([x, y]))
    own = torch.arange(2 * n, device=x.device)
    return _cross_entropy(views, views, own.roll(n), temperature, own)


@exact
def info_nce(query: Embeddings, key: Embeddings, negatives: Float[Tensor, "k d"], temperature: float = 0.2) -> Scalar:
    """MoCo's loss, mean over queries (arXiv 1911.05722 eq. 1): each query's own key against k shared negatives.

    Embeddings need not be normalised. Where all embeddings are alike it is ln(k + 1).
    """
    query, key, negatives = F.normalize(query), F.normalize(key), F.normalize(negatives)
    positive = (query * key).sum(1) / temperature
    return (torch.logaddexp(positive, _log_sum_exp(query, negatives, temperature)) - positive).mean()


def _cross_entropy(
    rows: Tensor, columns: Tensor, target: Int[Tensor, " n"], temperature: float, excluded: Int[Tensor, " n"]
) -> Tensor:
    positive = (rows * columns[target]).sum(1) / temperature
    return (_log_sum_exp(rows, columns, temperature, excluded) - positive).mean()


def _log_sum_exp(rows: Tensor, columns: Tensor, temperature: float, excluded: Tensor | None = None) -> Tensor:
    """log sum_j exp(rows_i . columns_j / temperature) for each i, without column ``excluded[i]``."""

    def block(part: Tensor, skip: Tensor | None) -> Tensor:
        logits = part @ columns.T / temperature
        if skip is not None:
            logits = logits.scatter(1, skip[:, None], -torch.inf)
        return logits.logsumexp(1)

    height = max(1, BLOCK // len(columns))
    if height >= len(rows):
        return block(rows, excluded)
    skips = excluded.split(height) if excluded is not None else [None] * -(-len(rows) // height)
    parts = [checkpoint(block, part, skip, use_reentrant=False) for part, skip in zip(rows.split(height), skips)]
    return torch.cat(parts)
