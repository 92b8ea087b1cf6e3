"""Nearest neighbours against plain loops."""

import math

import numpy as np
import torch

from tests.conftest import blobs
from twofold.evaluation.knn import knn_predict, neighbours


def test_knn_is_a_weighted_vote():
    bank, labels = blobs(100)
    queries, _ = blobs(20, seed=1)
    expected = []
    for query in queries:
        cosines = [float(query @ row / query.norm() / row.norm()) for row in bank]
        nearest = sorted(range(100), key=lambda i: -cosines[i])[:7]
        votes = [0.0] * 4
        for i in nearest:
            votes[int(labels[i])] += math.exp(cosines[i] / 0.1)
        expected.append(int(np.argmax(votes)))
    assert knn_predict(bank, labels, queries, k=7).tolist() == expected


def test_k_is_capped_for_small_sets():
    assert neighbours(torch.tensor([5000] * 10)) == 200
    assert neighbours(torch.tensor([143] * 7 + [144] * 3)) == 143
    assert neighbours(torch.tensor([1])) == 1
    assert neighbours(torch.tensor([900, 45, 31, 10, 10])) == 31  # where one class has nearly all, not its size
    assert neighbours(torch.tensor([900, 60])) == 60
