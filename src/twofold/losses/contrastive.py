"""InfoNCE and its kin: the positive pair against many others.

Every one is an energy and a functional: with similarity s (the cosine, or the product of embeddings as they are),

    attraction   mean of (1 - s(x, y)) / temperature                  the energy: a squared distance of unit vectors
    repulsion    mean of log sum over others exp((s - 1) / temperature)   the functional

whose sum is the mean of -log of the softmax. Where all embeddings are alike, attraction is 0 and repulsion the
logarithm of the number of others.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.pairs import REACH, hinges, mean_against, mutual
from twofold.losses.precision import exact

Same = tuple[Int[Tensor, " n"], Int[Tensor, " k"]] | None


@exact
def nt_xent(x: Embeddings, y: Embeddings, temperature: float = 0.5, gather: bool = False) -> Scalar:
    """SimCLR's loss, mean over the 2n views (arXiv 2002.05709 eq. 1).

    Each view's positive is the other view of its image; its negatives are the 2n - 2 views of other images.
    Embeddings need not be normalised. Where all embeddings are alike it is ln(2n - 1). With ``gather`` the n images are
    those of all processes, each of which computes its own rows.
    """
    return attraction(x, y, temperature, gather=gather) + repulsion(x, y, temperature, gather=gather)


@exact
def attraction(
    x: Embeddings, y: Embeddings, temperature: float = 0.5, normalize: bool = True, gather: bool = False
) -> Scalar:
    """Mean of (1 - cos) / temperature, 0 to 2 / temperature; without ``normalize`` the product instead of cos.

    With ``gather`` the mean is over the images of all processes.
    """
    if normalize:
        x, y = F.normalize(x), F.normalize(y)
    found = (1 - (x * y).sum(1)).mean() / temperature
    return dist.mean(found) if gather else found


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

    Where all embeddings are alike it is ln(2n - 1 + k). With ``gather`` the n images are those of all processes, each
    of which computes its own rows where there is no memory; the memory is the same on all.
    """
    if gather and memory is not None:
        x, y, gather = dist.gather(x), dist.gather(y), False
    views = F.normalize(torch.cat([x, y])) if normalize else torch.cat([x, y])
    others = mutual(views / math.sqrt(temperature), normalize and 1 / temperature <= REACH, gather)
    if memory is None:
        return others.mean() - 1 / temperature
    past = F.normalize(memory.to(x.dtype)) if normalize else memory.to(x.dtype)
    return mean_against(views / temperature, past, others) - 1 / temperature


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
    the queries of all processes, which hold the same negatives; each computes its own queries' rows.
    """
    attracted = attraction(query, key, temperature, gather=gather)
    return attracted + repulsion_from(query, key, negatives, None, temperature, gather=gather)


@exact
def repulsion_from(
    query: Embeddings,
    key: Embeddings,
    negatives: Float[Tensor, "k d"],
    same: Same = None,
    temperature: float = 0.2,
    normalize: bool = True,
    gather: bool = False,
) -> Scalar:
    """The rest of `info_nce`: mean over queries of the log of the sum over own key and negatives.

    ``same``: a number for each query and each negative; a negative with the query's number is none of its own. With
    ``gather`` the mean is over the queries of all processes, each of which computes its own rows against the same
    negatives; these may be `dist.columns` of its keys.
    """
    negatives = negatives.to(query.dtype)
    if normalize:
        query, key, negatives = F.normalize(query), F.normalize(key), F.normalize(negatives)
    query = query / temperature
    found = mean_against(query, negatives, (query * key).sum(1), same) - 1 / temperature
    return dist.mean(found) if gather else found


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
    are those of all processes, each of which computes its own rows.
    """
    first = len(x) * dist.rank() if gather else 0
    others = dist.columns(y) if gather else y
    others = others if memory is None else torch.cat([others, memory.to(y.dtype)])
    middle = others.detach().mean(0)  # distances are more exact about the middle
    cost = hinges(x - middle, others - middle, margin, first) / (len(x) * (len(others) - 1))
    return dist.mean(cost) if gather else cost
