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
    """Mean squared error over samples and dimensions (VICReg's invariance term, arXiv 2105.04906 eq. 5, / d)."""
    return F.mse_loss(x, y)


@exact
def squared_to_mean(views: Float[Tensor, "v n d"], full: Float[Tensor, "u n d"]) -> Scalar:
    """Mean squared error of each view's embeddings to the mean of some of them (LeJEPA, arXiv 2511.08544 section 5.1).

    Of two views to their own mean it is a quarter of `squared`. The mean gets a gradient as well.
    """
    return (views - full.mean(0)).square().mean()


@exact
def cosine(x: Embeddings, y: Embeddings) -> Scalar:
    """Mean of 2 - 2 cos: the squared distance of unit vectors, 0 to 4 (BYOL, arXiv 2006.07733 eq. 2)."""
    return 2 - 2 * F.cosine_similarity(x, y).mean()


@exact
def negative_cosine(prediction: Embeddings, target: Embeddings) -> Scalar:
    """Mean of -cos, -1 to 1 (SimSiam, arXiv 2011.10566 eq. 1). Stopping the target's gradient is the caller's."""
    return -F.cosine_similarity(prediction, target).mean()


@exact
def smooth_l1(prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], beta: float = 2.0) -> Scalar:
    """Mean of d^2 / (2 beta) where |d| < beta, else |d| - beta / 2 (data2vec, arXiv 2202.03555 eq. 4)."""
    return F.smooth_l1_loss(prediction, target, beta=beta)


@exact
def standardised(targets: Embeddings) -> Embeddings:
    """Each dimension with mean 0 and variance 1 over the images of all processes; one that hardly varies stays near 0.

    So the mean squared error of a given target weighs all of its dimensions alike (arXiv 2410.01680, standardization).
    """
    centred = targets - dist.mean(targets.mean(0))
    variance = dist.mean(centred.square().mean(0))
    return centred * (variance + 1e-4 * variance.mean() + 1e-12).rsqrt()
