"""Energies, against plain loops."""

import pytest
import torch

from tests.losses.plain import assert_same, cos, embeddings
from twofold import losses


def test_cosines_and_squared():
    x, y = embeddings(5, 4, 2)

    def mean():
        return sum(cos(a, b) for a, b in zip(x, y, strict=True)) / 5

    assert_same(losses.negative_cosine(x, y), -mean(), [x, y])
    assert_same(losses.cosine(x, y), 2 - 2 * mean(), [x, y])
    assert_same(losses.squared(x, y), ((x - y) ** 2).sum() / 20, [x, y])


def test_squared_to_the_mean_of_some():
    x, y, small = embeddings(5, 4, 3)
    middle = (x + y) / 2
    total = sum(((z - middle) ** 2).sum() for z in (x, y, small))
    full = torch.stack([x, y])
    assert_same(losses.squared_to_mean(torch.cat([full, small[None]]), full), total / 60, [x, y, small])
    torch.testing.assert_close(losses.squared_to_mean(full, full), losses.squared(x, y) / 4)


def test_smooth_l1():
    x, y = embeddings(5, 4, 2)
    x, y = 3 * x, 3 * y
    parts = [d**2 / 4 if abs(d) < 2 else abs(d) - 1 for d in (x - y).flatten()]
    assert_same(losses.smooth_l1(x, y, beta=2.0), sum(parts) / 20, [x, y])


def test_standardised_targets():
    """Every dimension by its own mean and deviation; one that hardly varies is not blown up."""
    x, _ = embeddings(40, 4, 2)
    x = x * torch.tensor([1.0, 50.0, 50.0, 1e-3], dtype=torch.float64) + 7
    found = losses.standardised(x)
    plain = (x - x.mean(0)) / x.std(0, unbiased=False)
    torch.testing.assert_close(found[:, 1:3], plain[:, 1:3], rtol=1e-3, atol=1e-3)
    assert found[:, 3].abs().max() < 0.01
    assert losses.standardised(x.bfloat16()).dtype == torch.float32
    assert losses.standardised(torch.ones(8, 4)).tolist() == torch.zeros(8, 4).tolist()


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says."""
    x = torch.ones(8, 5, dtype=torch.float64)
    assert losses.negative_cosine(x, x).item() == pytest.approx(-1)
    assert losses.cosine(x, x).item() == pytest.approx(0)
