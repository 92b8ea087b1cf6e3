"""A functional on the batch: embeddings must be distributed as a standard Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from twofold import dist
from twofold.losses.contrastive import rows_at_once
from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.precision import exact

POINT = 0.402
"""What SIGReg is where all embeddings are 0, the least that it is where they are all alike."""


@exact
def sigreg(
    x: Embeddings,
    directions: Float[Tensor, "m d"],
    points: int = 17,
    reach: float = 3.0,
    gather: bool = False,
) -> Scalar:
    """How far embeddings are from a standard Gaussian, by their shadows on lines (LeJEPA, arXiv 2511.08544 section 4).

    Mean over directions a, scaled to length 1, of Epps and Pulley's distance of characteristic functions,

        integral from -reach to reach of |mean over samples of exp(i t a.x) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt,

    by the trapezoidal rule at ``points`` places from 0 to ``reach``, as the integrand is even. The authors multiply
    it by the number of samples n; here it is free of n, so a weight of theirs is n times as large here. Of n samples
    of a standard Gaussian it is about 1.05 / n; where all embeddings are 0 it is 0.40. ``directions`` are best drawn
    anew for each step, the same ones on all processes. With ``gather`` the mean is over the samples of all processes,
    which exchange only that mean: [m, points].
    """
    t = torch.linspace(0, reach, points, dtype=x.dtype, device=x.device)
    gaussian = (-t.square() / 2).exp()
    step = torch.full_like(t, 2 * reach / (points - 1))
    step[:: points - 1] /= 2  # the first and the last
    lines = F.normalize(directions.to(x))

    def waves(some: Tensor) -> Tensor:
        angle = (x @ some.T)[..., None] * t
        return torch.stack([angle.cos().mean(0), angle.sin().mean(0)])

    height = rows_at_once(len(x) * points)
    if height >= len(lines):
        found = waves(lines)
    else:
        found = torch.cat([checkpoint(waves, some, use_reentrant=False) for some in lines.split(height)], 1)
    real, imaginary = dist.mean(found) if gather else found
    distance: Tensor = ((real - gaussian).square() + imaginary.square()) @ (step * gaussian)
    return distance.mean()
