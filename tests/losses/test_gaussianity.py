"""SIGReg, against quadrature of the formula in its paper."""

import math

import pytest
import torch

from tests.losses.plain import assert_same, embeddings
from twofold import losses
from twofold.losses import pairs
from twofold.losses.gaussianity import POINT


def plain_sigreg(x, directions, places, weights):
    """Every complex number on its own: samples, directions and places of the integral in three loops."""
    total = 0.0
    for a in directions:
        a = a / a.norm()
        for t, weight in zip(places, weights, strict=True):
            wave = sum(torch.exp(1j * t * (row @ a)) for row in x) / len(x)
            gap = wave - math.exp(-(t**2) / 2)
            total = total + weight * math.exp(-(t**2) / 2) * (gap.real**2 + gap.imag**2)
    return total / len(directions)


def trapezoid(low, high, places):
    """Both sides of 0, as the formula has it."""
    t = [low + (high - low) * i / (places - 1) for i in range(places)]
    step = (high - low) / (places - 1)
    return t, [step / 2 if i in (0, places - 1) else step for i in range(places)]


@pytest.mark.parametrize("tile", [1 << 20, 50])
def test_sigreg(tile, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", tile)
    (x,), (directions,) = embeddings(6, 3, 1), embeddings(5, 3, 1, seed=1)
    directions = directions.detach()
    plain = plain_sigreg(x, directions, *trapezoid(-3.0, 3.0, 33))
    assert_same(losses.sigreg(x, directions), plain, [x])
    other = plain_sigreg(x, directions, *trapezoid(-5.0, 5.0, 9))
    assert_same(losses.sigreg(x, directions, points=5, reach=5.0), other, [x])


def test_it_is_the_authors_statistic_divided_by_the_number_of_samples():
    """Their minimal example, by its definition: weights of the half line doubled, times the number of samples."""
    (x,), (directions,) = embeddings(7, 4, 1), embeddings(3, 4, 1, seed=1)
    t = torch.linspace(0, 3, 17, dtype=torch.float64)
    window, shadows = (-t.square() / 2).exp(), x @ torch.nn.functional.normalize(directions).T
    gap = sum(torch.polar(torch.ones(17, dtype=t.dtype), shadows[i, :, None] * t) for i in range(7)) / 7 - window
    statistic = 7 * torch.trapezoid(2 * gap.abs().square() * window, t).mean()
    torch.testing.assert_close(7 * losses.sigreg(x, directions), statistic)


def test_the_sum_is_close_to_the_integral():
    """Of a point at 0 the integral is known: of (1 - g)^2 g, with g = exp(-t^2 / 2), within three deviations."""
    x, directions = torch.zeros(4, 2, dtype=torch.float64), torch.eye(2)
    within = [math.sqrt(2 * math.pi / k) * math.erf(3 * math.sqrt(k / 2)) for k in (1, 2, 3)]
    exact = within[0] - 2 * within[1] + within[2]
    assert losses.sigreg(x, directions).item() == pytest.approx(exact, rel=2e-3)
    assert losses.sigreg(x, directions).item() == pytest.approx(POINT, abs=1e-3)
    assert losses.sigreg(x + 0.1, directions) > losses.sigreg(x, directions)


def test_a_gaussian_costs_least():
    """About 1.05 / n of n samples; more where they are scaled, shifted, in few directions, or of another law."""
    random = torch.Generator().manual_seed(0)
    draws = [[torch.randn(k, 8, generator=random, dtype=torch.float64) for k in (200, 64)] for _ in range(40)]
    costs = torch.stack([losses.sigreg(x, directions) for x, directions in draws])
    assert costs.mean().item() == pytest.approx(1.05 / 200, rel=0.1)
    x, directions = draws[0]
    alike = torch.cat([x[:, :4], x[:, :4]], 1)  # dimensions that say the same
    for worse in (2 * x, x / 2, x + 0.5, alike):
        assert losses.sigreg(worse, directions).item() > 3 * costs.max()
    along = torch.eye(8)  # signs look Gaussian on most lines, and not along their own dimensions
    assert losses.sigreg(x.sign(), along).item() > 3 * losses.sigreg(x, along)


def test_its_gradient_spreads_what_is_too_narrow_and_draws_in_what_is_too_wide():
    random = torch.Generator().manual_seed(0)
    x, directions = (torch.randn(n, 4, generator=random, dtype=torch.float64) for n in (500, 32))
    for scale, sign in ((0.5, -1), (2.0, 1)):
        scaled = (scale * x).requires_grad_()
        (gradient,) = torch.autograd.grad(losses.sigreg(scaled, directions), scaled)
        assert (gradient * scaled).sum().sign() == sign
    shifted = (x + 1).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.sigreg(shifted, directions), shifted)
    assert (gradient.sum(0) > 0).all()  # a step against it moves the mean back to 0
