"""A functional on the batch: embeddings must be distributed as a standard Gaussian."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.losses.energy import Embeddings, Scalar
from twofold.losses.pairs import tile
from twofold.losses.precision import exact, once

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
    """How far embeddings are from a standard Gaussian, judged on lines (LeJEPA, arXiv 2511.08544 section 4).

    It is the mean over directions a, scaled to length 1, of Epps and Pulley's distance of characteristic functions,

        integral from -reach to reach of |mean over samples of exp(i t a.x) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt,

    by the trapezoidal rule at ``points`` places from 0 to ``reach``, as the integrand is even. The authors multiply
    it by the number of samples n; here it is free of n, so a weight of theirs is n times as large here. Of n samples
    of a standard Gaussian it is about 1.05 / n; where all embeddings are 0 it is 0.40.

    Args:
        x: embeddings [n, d].
        directions: [m, d], best drawn anew from a Gaussian for each step, and the same on all processes.
        points: at how many places from 0 to ``reach`` the integrand is taken, at least 2.
        reach: where the integral ends, above 0.
        gather: take the mean over the samples of all processes, which exchange only that mean, [m, points].
    """
    t = torch.linspace(0, reach, points, dtype=x.dtype, device=x.device)
    gaussian = (-t.square() / 2).exp()
    step = torch.full_like(t, 2 * reach / (points - 1))
    step[:: points - 1] /= 2  # the first and the last
    lines = F.normalize(directions.to(x))

    found = _Waves.apply(lines @ x.T * (reach / (points - 1)), points)
    real, imaginary = dist.mean(found) if gather else found
    distance: Tensor = ((real - gaussian).square() + imaginary.square()) @ (step * gaussian)
    return distance.mean()


class _Waves(torch.autograd.Function):
    """Means over samples of cos(k angle) and sin(k angle), k from 0 on: angles [m, n] -> [2, m, points].

    Multiples of an angle come from turning by it again and again, which costs less than their cosines; and they are
    turned anew for the gradient, so only the angles are kept. The gradient can be taken once.
    """

    @staticmethod
    def forward(ctx: Any, angles: Tensor, points: int) -> Tensor:
        ctx.save_for_backward(angles)
        found = angles.new_empty(2, len(angles), points)
        found[0, :, 0], found[1, :, 0] = 1, 0
        for some in _lines_at_once(angles):
            for k, (real, imaginary) in enumerate(_turned(angles[some], points), 1):
                found[0, some, k], found[1, some, k] = real.mean(1), imaginary.mean(1)
        return found

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (angles,) = ctx.saved_tensors
        of_angles, points = torch.zeros_like(angles), gradient.shape[2]
        weights = gradient * torch.arange(points, device=gradient.device) / angles.shape[1]
        for some in _lines_at_once(angles):
            part = of_angles[some]
            for k, (real, imaginary) in enumerate(_turned(angles[some], points), 1):
                part.addcmul_(real, weights[1, some, k, None])
                part.addcmul_(imaginary, weights[0, some, k, None], value=-1)
        return of_angles, None


def _lines_at_once(angles: Tensor) -> Iterator[slice]:
    """Slices of the rows of ``angles``, of few enough numbers each."""
    height = max(1, tile(angles.device) // 4 // angles.shape[1])
    return (slice(first, first + height) for first in range(0, len(angles), height))


def _turned(angles: Tensor, points: int) -> Iterator[tuple[Tensor, Tensor]]:
    """cos and sin of 1, 2, ..., points - 1 times the angles; what was given before is overwritten."""
    cos, sin = angles.cos(), angles.sin()
    real, imaginary, kept = cos.clone(), sin.clone(), torch.empty_like(cos)
    for k in range(1, points):
        if k > 1:
            torch.mul(real, sin, out=kept)
            real.mul_(cos).addcmul_(imaginary, sin, value=-1)
            imaginary.mul_(cos).add_(kept)
        yield real, imaginary
