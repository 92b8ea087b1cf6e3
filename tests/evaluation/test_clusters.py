"""Clusters against plain formulas."""

import math

import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tests.conftest import blobs
from twofold.evaluation.clusters import centres, kmeans, named, nearest_centre, sizes


def test_k_means_finds_directions():
    """Features of any length: only where they point counts."""
    x, y = blobs(300, 8, 4, spread=0.3)
    x = x * torch.linspace(0.1, 10, 300)[:, None]
    found = kmeans(x, 4, seed=3)
    assert normalized_mutual_info_score(y, found) == pytest.approx(1)
    assert torch.equal(found, kmeans(x, 4, seed=3))
    middle = centres(x, found, 4)
    for cluster in range(4):
        rows = x[found == cluster]
        plain = sum(row / row.norm() for row in rows) / len(rows)
        torch.testing.assert_close(middle[cluster], plain)
    test, _ = blobs(100, 8, 4, seed=1, spread=0.3)
    plain = [min(range(4), key=lambda c: float((row / row.norm() - middle[c]).norm())) for row in test]
    assert nearest_centre(test, middle).tolist() == plain


def test_how_many_clusters():
    assert sizes(50_000, 10) == (10, 100)
    assert sizes(999, 10) == (10,)


def test_the_measures_are_what_their_names_say():
    """Normalised mutual information and adjusted Rand index from the table of counts, by their definitions."""
    truth = [0] * 6 + [1] * 6
    found = [0] * 5 + [1] * 4 + [2] * 3
    table = [[5, 1, 0], [0, 3, 3]]
    rows, columns, n = [6, 6], [5, 4, 3], 12
    mutual = sum(
        v / n * math.log(n * v / (rows[i] * columns[j])) for i, r in enumerate(table) for j, v in enumerate(r) if v
    )
    entropies = [-sum(v / n * math.log(v / n) for v in values) for values in (rows, columns)]
    assert normalized_mutual_info_score(truth, found) == pytest.approx(mutual / (sum(entropies) / 2))
    pairs, a, b = (
        sum(math.comb(v, 2) for v in values) for values in ([v for row in table for v in row], rows, columns)
    )
    chance = a * b / math.comb(n, 2)
    assert adjusted_rand_score(truth, found) == pytest.approx((pairs - chance) / ((a + b) / 2 - chance))


def test_clusters_are_named_by_the_majority_of_a_few():
    clusters = torch.tensor([0] * 9 + [2] * 3)
    labels = torch.tensor([7] * 8 + [5] + [5, 5, 8])
    names, used = named(clusters, labels, 4, shots=9, seed=0, draw=0)
    assert names.tolist() == [7, -1, 5, -1]  # two have no images
    assert used == 12  # one has three images only
    single = {tuple(named(clusters, labels, 4, 1, 0, draw)[0].tolist()) for draw in range(40)}
    assert single == {(7, -1, 5, -1), (7, -1, 8, -1), (5, -1, 5, -1), (5, -1, 8, -1)}
    assert named(clusters, labels, 4, 1, 0, 0)[1] == 2
    # Of two that differ, the one drawn first names: either may.
    tied = {int(named(torch.zeros(2).long(), torch.tensor([1, 4]), 1, 2, 0, draw)[0]) for draw in range(20)}
    assert tied == {1, 4}
