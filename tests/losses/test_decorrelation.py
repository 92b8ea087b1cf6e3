"""Functionals on the batch, against plain loops."""

import pytest
import torch

from tests.losses.plain import SHAPES, assert_same, embeddings
from twofold import losses


def plain_covariance(x):
    n, d = x.shape
    mean = sum(x) / n
    c = sum(torch.outer(row - mean, row - mean) for row in x) / (n - 1)
    return sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d


def plain_variance(x):
    n, d = x.shape
    total = 0.0
    for j in range(d):
        column = x[:, j]
        deviation = torch.sqrt(((column - column.mean()) ** 2).sum() / (n - 1) + 1e-4)
        total = total + torch.clamp(1 - deviation, min=0)
    return total / d


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_vicreg(n, d):
    x, y = embeddings(n, d, 2)
    x, y = x * 0.7, y * 1.1  # so that some hinges are open and some closed
    invariance = ((x - y) ** 2).sum() / (n * d)
    plain = 25 * invariance + 12.5 * (plain_variance(x) + plain_variance(y)) + plain_covariance(x) + plain_covariance(y)
    assert_same(losses.vicreg(x, y), plain, [x, y])
    assert_same(losses.variance(x), plain_variance(x), [x])
    assert_same(losses.covariance(x), plain_covariance(x), [x])


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_barlow_twins(n, d):
    x, y = embeddings(n, d, 2)
    a, b = (((z - z.mean(0)) / torch.sqrt(((z - z.mean(0)) ** 2).mean(0) + 1e-5)) for z in (x, y))
    plain = 0.0
    for i in range(d):
        for j in range(d):
            c = (a[:, i] * b[:, j]).sum() / n
            plain = plain + ((c - 1) ** 2 if i == j else 0.0051 * c**2)
    assert_same(losses.barlow_twins(x, y), plain, [x, y])


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says."""
    x = torch.ones(8, 5, dtype=torch.float64)
    assert losses.vicreg(x, x).item() == pytest.approx(25 * 0.99)
