"""Functionals that spread samples, against plain loops."""

import math

import pytest
import torch

from tests.losses.plain import SHAPES, assert_same, embeddings
from twofold import losses
from twofold.losses import pairs


def unit_rows(x):
    return [row / row.norm() for row in x]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("tile", [1 << 20, 5])
def test_uniformity(n, d, tile, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", tile)
    (x,) = embeddings(n, d, 1)
    for t in (2.0, 0.5, 40.0):
        rows = unit_rows(x)
        kernel = [torch.exp(-t * ((rows[i] - rows[j]) ** 2).sum()) for i in range(n) for j in range(i)]
        assert_same(losses.uniformity(x, t), torch.log(sum(kernel) / len(kernel)), [x])
    assert losses.uniformity(x) == losses.uniformity(x, 2.0)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("rows", [64, 2])
def test_koleo(n, d, rows, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", rows)
    monkeypatch.setattr(pairs, "ROWS", rows)
    (x,) = embeddings(n, d, 1)
    rows = unit_rows(x)
    total = 0.0
    for i in range(n):
        total = total - torch.log(min((rows[i] - rows[j]).norm() for j in range(n) if j != i) + 1e-8)
    assert_same(losses.koleo(x), total / n, [x])


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_coding_rate(n, d):
    (x,) = embeddings(n, d, 1)
    for epsilon in (0.2, 0.05):
        second = sum(torch.outer(row, row) for row in unit_rows(x))
        stretched = torch.linalg.eigvalsh(torch.eye(d, dtype=x.dtype) + d / (n * epsilon) * second)
        assert_same(losses.coding_rate(x, epsilon), -torch.log(stretched).sum() / 2, [x])
    assert losses.coding_rate(x) == losses.coding_rate(x, 0.2)


def test_norm_hinge():
    (x,) = embeddings(6, 3, 1)
    assert_same(losses.norm_hinge(x, 1.0), sum(torch.clamp(row.norm() - 1, min=0) for row in x) / 6, [x])
    assert_same(losses.norm_hinge(x), sum(torch.clamp(row.norm() - math.sqrt(3), min=0) for row in x) / 6, [x])
    assert losses.norm_hinge(x / 10).item() == 0
    assert losses.norm_hinge(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 2.0).item() == 1.5


def test_by_hand():
    """Two opposite unit vectors: a distance of 2; four at right angles: nearest ones at sqrt(2)."""
    two = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    four = torch.cat([two, two.flip(1)])
    assert losses.uniformity(two).item() == pytest.approx(-8)
    assert losses.uniformity(four).item() == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3))
    assert losses.koleo(two).item() == pytest.approx(-math.log(2))
    assert losses.koleo(four).item() == pytest.approx(-math.log(2) / 2)
    assert losses.coding_rate(two).item() == pytest.approx(-math.log(1 + 10) / 2)  # one direction of two
    assert losses.coding_rate(four).item() == pytest.approx(-math.log(1 + 5))  # both alike, the least there is


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says; the gradient is finite there."""
    x = torch.ones(8, 5, dtype=torch.float64, requires_grad=True)
    for loss, value in (
        (losses.uniformity, 0.0),
        (losses.koleo, -math.log(1e-8)),
        (losses.coding_rate, -math.log(1 + 5 / 0.2) / 2),
    ):
        cost = loss(x)
        assert cost.item() == pytest.approx(value, abs=1e-5)
        (gradient,) = torch.autograd.grad(cost, x)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", [losses.uniformity, losses.koleo, losses.coding_rate])
def test_length_does_not_matter_and_a_step_spreads(loss):
    (x,) = embeddings(12, 4, 1)
    torch.testing.assert_close(loss(3 * x), loss(x))
    crowded = (1 + 0.3 * x).detach().requires_grad_()
    cost = loss(crowded)
    (gradient,) = torch.autograd.grad(cost, crowded)
    assert loss(crowded - 0.01 * gradient) < cost
    spread = (crowded - 0.01 * gradient).detach()
    unit = [torch.stack(unit_rows(z)) for z in (crowded.detach(), spread)]
    assert torch.pdist(unit[1]).mean() > torch.pdist(unit[0]).mean()


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)])
def test_the_coding_rate_of_what_are_no_numbers_is_none(shape):
    """As that of other losses, so that a run says that it has diverged."""
    assert losses.coding_rate(torch.full(shape, torch.nan)).isnan()
