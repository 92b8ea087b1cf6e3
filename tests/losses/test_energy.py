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


def test_smooth_l1():
    x, y = embeddings(5, 4, 2)
    x, y = 3 * x, 3 * y
    parts = [d**2 / 4 if abs(d) < 2 else abs(d) - 1 for d in (x - y).flatten()]
    assert_same(losses.smooth_l1(x, y, beta=2.0), sum(parts) / 20, [x, y])


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says."""
    x = torch.ones(8, 5, dtype=torch.float64)
    assert losses.negative_cosine(x, x).item() == pytest.approx(-1)
    assert losses.cosine(x, x).item() == pytest.approx(0)
