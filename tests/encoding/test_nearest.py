"""The nearest rows, against plain loops."""

import pytest
import torch
from torch.nn import functional as F

from twofold.encoding import nearest as module
from twofold.encoding.nearest import nearest


def test_they_are_the_nearest_by_the_cosine_of_centred_rows(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7 * 30)
    rows = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)) + 10  # almost alike before the mean is off
    found, numbers = nearest(rows, 4)
    centred = rows - rows.mean(0)
    for i, own in enumerate(numbers.tolist()):
        cosines = {j: F.cosine_similarity(centred[i], centred[j], dim=0).item() for j in range(30) if j != i}
        assert own == sorted(cosines, key=lambda j: -cosines[j])[:4]
        assert found[i].tolist() == pytest.approx([cosines[j] for j in own], abs=1e-5)


def test_nothing_is_its_own_neighbour():
    """Not even where all others lie on the other side of the mean."""
    found, numbers = nearest(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 3)
    assert numbers.tolist() == [[1], [0]]
    assert found.flatten().tolist() == pytest.approx([-1, -1])
