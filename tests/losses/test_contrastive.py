"""InfoNCE and its kin, against plain loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from tests.losses.plain import SHAPES, assert_same, cos, embeddings
from twofold import losses
from twofold.losses import pairs


def plain_nt_xent(x, y, t):
    views = [*x, *y]
    n, total = len(x), 0.0
    for i, view in enumerate(views):
        partner = views[(i + n) % (2 * n)]
        others = sum(torch.exp(cos(view, other) / t) for k, other in enumerate(views) if k != i)
        total = total - torch.log(torch.exp(cos(view, partner) / t) / others)
    return total / (2 * n)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("tile", [1 << 20, 20])
def test_nt_xent(n, d, tile, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", tile)
    x, y = embeddings(n, d, 2)
    assert_same(losses.nt_xent(x, y, 0.3), plain_nt_xent(x, y, 0.3), [x, y])


@pytest.mark.parametrize("rows", [64, 2])
def test_info_nce(rows, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", rows)
    monkeypatch.setattr(pairs, "ROWS", rows)
    query, key = embeddings(5, 4, 2)
    (negatives,) = embeddings(7, 4, 1, seed=1)
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = torch.exp(cos(q, k) / 0.2)
        total = total - torch.log(positive / (positive + sum(torch.exp(cos(q, m) / 0.2) for m in negatives)))
    assert_same(losses.info_nce(query, key, negatives, 0.2), total / 5, [query, key, negatives])


def test_attraction_and_repulsion_are_the_two_halves_of_info_nce():
    x, y = embeddings(5, 4, 2)
    (memory,) = embeddings(3, 4, 1, seed=1)
    plain = sum((1 - cos(a, b)) / 0.3 for a, b in zip(x, y, strict=True)) / 5
    assert_same(losses.attraction(x, y, 0.3), plain, [x, y])
    products = sum((1 - a @ b) / 0.3 for a, b in zip(x, y, strict=True)) / 5
    assert_same(losses.attraction(x, y, 0.3, normalize=False), products, [x, y])
    views = [*x, *y]
    total = 0.0
    for i, view in enumerate(views):
        others = [other for k, other in enumerate(views) if k != i] + list(memory)
        total = total + torch.log(sum(torch.exp((cos(view, other) - 1) / 0.3) for other in others)) / 10
    assert_same(losses.repulsion(x, y, 0.3, memory=memory), total, [x, y, memory])
    whole = losses.attraction(x, y, 0.3) + losses.repulsion(x, y, 0.3)
    assert_same(whole, plain_nt_xent(x, y, 0.3), [x, y])


def test_a_negative_of_the_same_image_is_left_out():
    query, key = embeddings(4, 3, 2)
    (negatives,) = embeddings(6, 3, 1, seed=1)
    number, numbers = torch.arange(4), torch.tensor([0, 5, 1, 1, 7, 3])
    total = 0.0
    for i in range(4):
        others = [key[i], *(n for n, k in zip(negatives, numbers, strict=True) if k != i)]
        total = total + torch.log(sum(torch.exp((cos(query[i], other) - 1) / 0.2) for other in others)) / 4
    ours = losses.repulsion_from(query, key, negatives, (number, numbers), 0.2)
    assert_same(ours, total, [query, key, negatives])


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says."""
    x = torch.ones(8, 5, dtype=torch.float64)
    assert losses.nt_xent(x, x).item() == pytest.approx(math.log(15))
    assert losses.info_nce(x, x, x).item() == pytest.approx(math.log(9))


def test_normalised_embeddings_give_the_same():
    x, y = embeddings(6, 4, 2)
    torch.testing.assert_close(losses.nt_xent(x, y), losses.nt_xent(F.normalize(x), 3 * y))


@pytest.mark.parametrize("tile", [1 << 20, 9])
def test_margin_hinge(tile, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", tile)
    x, y = embeddings(5, 3, 2)
    (memory,) = embeddings(4, 3, 1, seed=1)
    others = [*y, *memory]
    far = [(a, b) for i, a in enumerate(x) for j, b in enumerate(others) if i != j]
    hinges = [torch.clamp(2.5 - (a - b).norm(), min=0) ** 2 / 2 for a, b in far]
    assert 0 < sum(h == 0 for h in hinges) < len(hinges)
    assert_same(losses.margin_hinge(x, y, 2.5, memory), sum(hinges) / (5 * 8), [x, y, memory])
    hinges = [torch.clamp(2.5 - (x[i] - y[j]).norm(), min=0) ** 2 / 2 for i in range(5) for j in range(5) if i != j]
    assert_same(losses.margin_hinge(x, y, 2.5), sum(hinges) / 20, [x, y])


def test_the_margin_pushes_what_is_near_alone():
    x = torch.tensor([[0.0, 0.0], [0.5, 0.0], [9.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = losses.margin_hinge(x, x.detach().clone(), 1.0)
    assert loss.item() == pytest.approx(2 * 0.5**2 / 2 / 6)
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient[0, 0] > 0 > gradient[1, 0]  # a step against it moves them apart
    assert (gradient[2] == 0).all()
    alike = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    assert losses.margin_hinge(alike[:1], alike[:1]) == 0  # no pair of different images
    cost = losses.margin_hinge(alike, alike, 0.8)
    assert cost.item() == pytest.approx(0.32, abs=1e-5)
    assert torch.autograd.grad(cost, alike)[0].isfinite().all()


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_a_temperature_may_be_learned(temperature):
    """Its gradient is that of the slope of the loss, as that of a number would be."""
    x, y = embeddings(12, 6, 2)
    learned = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(losses.nt_xent(x, y, learned), learned)
    x, y, step = x.detach(), y.detach(), 1e-6
    slope = (losses.nt_xent(x, y, temperature + step) - losses.nt_xent(x, y, temperature - step)) / (2 * step)
    assert float(found) == pytest.approx(float(slope), rel=1e-4)
