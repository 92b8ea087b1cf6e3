"""Energies D: what pulls the two embeddings of one image together."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.precision import exact

Embeddings = Float[Tensor, "n d"]
Scalar = Float[Tensor, ""]


@exact
def squared(x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> Scalar:
    """Mean squared error over samples and dimensions, of two tensors of one shape.

    It is VICReg's invariance term (arXiv 2105.04906 eq. 5), divided by d.
    """
    return F.mse_loss(x, y)


@exact
def squared_to_mean(views: Float[Tensor, "v n d"], full: Float[Tensor, "u n d"]) -> Scalar:
    """Mean squared error between each view's embeddings and the mean of some views (arXiv 2511.08544 section 5.1).

    It is LeJEPA's energy. For two views and their own mean it is a quarter of `squared`.

    Args:
        views: the embeddings of v views of n images, [v, n, d].
        full: those of the u views whose mean is compared with, [u, n, d]; they get a gradient as well.
    """
    return (views - full.mean(0)).square().mean()


@exact
def cosine(x: Embeddings, y: Embeddings) -> Scalar:
    """Mean over samples of 2 - 2 cos(x, y), the squared distance of unit vectors, from 0 to 4.

    It is BYOL's energy (arXiv 2006.07733 eq. 2). Embeddings need not have length 1.
    """
    return 2 - 2 * F.cosine_similarity(x, y).mean()


@exact
def negative_cosine(prediction: Embeddings, target: Embeddings) -> Scalar:
    """Mean over samples of -cos(prediction, target), from -1 to 1 (SimSiam, arXiv 2011.10566 eq. 1).

    The target gets a gradient too: pass ``target.detach()`` to stop it, as SimSiam does.
    """
    return -F.cosine_similarity(prediction, target).mean()


@exact
def smooth_l1(prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], beta: float = 2.0) -> Scalar:
    """Mean of e^2 / (2 beta) where |e| < beta, and of |e| - beta / 2 elsewhere (data2vec, arXiv 2202.03555 eq. 4).

    Args:
        prediction: of any shape; e is the prediction minus the target.
        target: of the same shape.
        beta: the difference above which the loss is linear, above 0.
    """
    return F.smooth_l1_loss(prediction, target, beta=beta)


@exact
def standardised(targets: Embeddings) -> Embeddings:
    """The targets [n, d] with mean 0 and variance 1 in each dimension, over the images of all processes.

    A dimension that hardly varies stays near 0. So the mean squared error to a given target weighs all of its
    dimensions alike (arXiv 2410.01680, standardization).
    """
    centred = targets - dist.mean(targets.mean(0))
    variance = dist.mean(centred.square().mean(0))
    return centred * (variance + 1e-4 * variance.mean() + 1e-12).rsqrt()
