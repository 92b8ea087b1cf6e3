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

Temperature = float | Float[Tensor, ""]
"""A number, or a tensor without dimensions, which may be learned."""
Same = tuple[Int[Tensor, " n"], Int[Tensor, " k"]] | None


@exact
def nt_xent(x: Embeddings, y: Embeddings, temperature: Temperature = 0.5, gather: bool = False) -> Scalar:
    """SimCLR's loss, mean over the 2n views (arXiv 2002.05709 eq. 1).

    Each view's positive is the other view of its image; its negatives are the 2n - 2 views of other images. Where all
    embeddings are alike it is ln(2n - 1).

    Args:
        x: embeddings [n, d] of one view of each image; they need not have length 1.
        y: embeddings [n, d] of the other view.
        temperature: what the cosines are divided by, above 0.
        gather: take the images of all processes; each process computes its own rows.
    """
    return attraction(x, y, temperature, gather=gather) + repulsion(x, y, temperature, gather=gather)


@exact
def attraction(
    x: Embeddings, y: Embeddings, temperature: Temperature = 0.5, normalize: bool = True, gather: bool = False
) -> Scalar:
    """The energy of `nt_xent` and `info_nce`: mean of (1 - cos(x, y)) / temperature, from 0 to 2 / temperature.

    Args:
        x: embeddings [n, d] of one view of each image.
        y: embeddings [n, d] of the other view.
        temperature: above 0.
        normalize: False takes the product of the embeddings as they are in place of the cosine.
        gather: take the mean over the images of all processes.
    """
    if normalize:
        x, y = F.normalize(x), F.normalize(y)
    found = (1 - (x * y).sum(1)).mean() / temperature
    return dist.mean(found) if gather else found


@exact
def repulsion(
    x: Embeddings,
    y: Embeddings,
    temperature: Temperature = 0.5,
    normalize: bool = True,
    memory: Float[Tensor, "k d"] | None = None,
    gather: bool = False,
) -> Scalar:
    """The functional of `nt_xent`, without its energy: mean over 2n views of log sum exp((cos - 1) / temperature).

    The sum is over the 2n - 1 other views and the memory. Where all embeddings are alike it is ln(2n - 1 + k).

    Args:
        x: embeddings [n, d] of one view of each image.
        y: embeddings [n, d] of the other view.
        temperature: above 0.
        normalize: False takes the product of the embeddings as they are in place of the cosine.
        memory: past embeddings [k, d] of other images, the same on all processes; None: there are none.
        gather: take the images of all processes; without a memory each process computes its own rows.
    """
    if gather and memory is not None:
        x, y, gather = dist.gather(x), dist.gather(y), False
    views = F.normalize(torch.cat([x, y])) if normalize else torch.cat([x, y])
    root = temperature.sqrt() if isinstance(temperature, Tensor) else math.sqrt(temperature)
    others = mutual(views / root, normalize and bool(1 / temperature <= REACH), gather)
    if memory is None:
        return others.mean() - 1 / temperature
    past = F.normalize(memory.to(x.dtype)) if normalize else memory.to(x.dtype)
    return mean_against(views / temperature, past, others) - 1 / temperature


@exact
def info_nce(
    query: Embeddings,
    key: Embeddings,
    negatives: Float[Tensor, "k d"],
    temperature: Temperature = 0.2,
    gather: bool = False,
) -> Scalar:
    """MoCo's loss, mean over queries (arXiv 1911.05722 eq. 1): each query's own key against k shared negatives.

    Where all embeddings are alike it is ln(k + 1).

    Args:
        query: embeddings [n, d]; they need not have length 1.
        key: embeddings [n, d] of another view of the same images.
        negatives: embeddings [k, d] of other images, the same on all processes.
        temperature: what the cosines are divided by, above 0.
        gather: take the mean over the queries of all processes; each process computes its own rows.
    """
    attracted = attraction(query, key, temperature, gather=gather)
    return attracted + repulsion_from(query, key, negatives, None, temperature, gather=gather)


@exact
def repulsion_from(
    query: Embeddings,
    key: Embeddings,
    negatives: Float[Tensor, "k d"],
    same: Same = None,
    temperature: Temperature = 0.2,
    normalize: bool = True,
    gather: bool = False,
) -> Scalar:
    """The functional of `info_nce`, without its energy: mean over queries of log sum exp((cos - 1) / temperature).

    The sum is over the query's own key and the negatives.

    Args:
        query: embeddings [n, d].
        key: embeddings [n, d] of another view of the same images.
        negatives: embeddings [k, d], the same on all processes; they may be `dist.columns` of the keys.
        same: whole numbers [n] for the queries and [k] for the negatives; a negative with a query's number is left out
            of that query's sum. None: all negatives are in all sums.
        temperature: above 0.
        normalize: False takes the product of the embeddings as they are in place of the cosine.
        gather: take the mean over the queries of all processes; each process computes its own rows.
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

    It is the term of the dissimilar pairs in Hadsell, Chopra and LeCun, CVPR 2006, eq. 4. Pairs farther apart than the
    margin get no gradient, nor do those that coincide, which have no direction. Where all embeddings are alike it is
    margin^2 / 2; it is 0 of a single image without others.

    Args:
        x: embeddings [n, d] of one view of each image, taken as they are.
        y: embeddings [n, d] of the other view.
        margin: the distance that different images should keep, above 0.
        memory: embeddings [k, d] of other images, with which each x_i is paired too; None: there are none.
        gather: take the images of all processes; each process computes its own rows.
    """
    first = len(x) * dist.rank() if gather else 0
    others = dist.columns(y) if gather else y
    others = others if memory is None else torch.cat([others, memory.to(y.dtype)])
    middle = others.detach().mean(0)  # distances are more exact about the middle
    cost = hinges(x - middle, others - middle, margin, first) / (len(x) * max(1, len(others) - 1))
    return dist.mean(cost) if gather else cost
