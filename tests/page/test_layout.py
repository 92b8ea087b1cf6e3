"""Where images lie on the map, and which are nearest."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twofold.page.atlas import assign, describe
from twofold.page.layout import affinities, flat, nearest_neighbours


def blobs(n, groups=3, d=32, seed=0):
    """Unit rows [n, d] around ``groups`` directions, and which one each is near."""
    random = torch.Generator().manual_seed(seed)
    member = torch.arange(n) % groups
    centres = torch.randn(groups, d, generator=random)
    return F.normalize(centres[member] + 0.4 * torch.randn(n, d, generator=random)), member


def test_nearest_are_the_largest_cosines():
    unit, _ = blobs(60)
    index, cosine = nearest_neighbours(unit, 8)
    rows = unit.double().numpy()
    for i, row in enumerate(rows):
        expected = sorted((float(row @ other), j) for j, other in enumerate(rows) if j != i)[::-1][:8]
        assert index[i].tolist() == [j for _, j in expected]
        np.testing.assert_allclose(cosine[i], [c for c, _ in expected], atol=1e-6)
    assert nearest_neighbours(unit[:1], 8)[0].shape == (1, 0)


@pytest.mark.parametrize("landmarks", [300, 90])
def test_what_is_apart_stays_apart_on_the_map(landmarks):
    """Whether all images are landmarks or most are placed among them."""
    unit, member = blobs(300)
    places = flat(unit, landmarks)
    assert torch.equal(places, flat(unit, landmarks))
    assert float(places.abs().max()) == pytest.approx(1, abs=1e-5)
    near = torch.cdist(places, places).topk(6, largest=False).indices[:, 1:]
    assert (member[near] == member[:, None]).float().mean() > 0.99


def test_affinities_have_the_perplexity():
    square = torch.rand(20, 15, generator=torch.Generator().manual_seed(0)).sort(1).values * 7
    p = affinities(square, 5.0)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose((-(p * p.log()).sum(1)).exp(), 5, rtol=1e-3)
    assert (p.diff(dim=1) <= 0).all()  # nearer is likelier


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("alike", [True, False])
def test_a_map_of_few_or_collapsed_images_is_finite(n, alike):
    unit = F.normalize(torch.ones(n, 16)) if alike else blobs(n, d=16)[0]
    for landmarks in (100, 20):
        places = flat(unit, landmarks)
        assert places.shape == (n, 2)
        assert places.isfinite().all()
        assert places.abs().max() <= 1 + 1e-6
    member = assign(unit, min(n, 10))
    assert sum(cluster.size for cluster in describe(unit, member, None)) == n
