"""Rankings against plain loops."""

import pytest

from tests.conftest import blobs
from twofold.evaluation import retrieval


@pytest.mark.parametrize("elements", [1, 1000, 1 << 20])
def test_a_ranking_is_measured_as_by_hand(elements, monkeypatch):
    """Average precision and recall by plain loops, whatever the blocks."""
    monkeypatch.setattr(retrieval, "ELEMENTS", elements)
    bank, bank_labels = blobs(60, 5, 4)
    queries, labels = blobs(13, 5, 4, seed=1)
    labels[-1] = 77  # the bank has none
    precision, found = retrieval.rank(bank, bank_labels, queries, labels)
    for query, label, ours, first in zip(queries, labels.tolist(), precision, found, strict=True):
        cosines = [float(query @ row / query.norm() / row.norm()) for row in bank]
        order = sorted(range(60), key=lambda i: -cosines[i])
        right = [bank_labels[i].item() == label for i in order]
        at = [sum(right[: i + 1]) / (i + 1) for i in range(60) if right[i]]
        assert float(ours) == pytest.approx(sum(at) / len(at) if at else 0, abs=1e-6)
        assert first.tolist() == [float(any(right[:k])) for k in (1, 5, 10)]
