"""Few labels: what is drawn, the same for every representation."""

import numpy as np
import pytest
import torch

from tests.conftest import blobs
from twofold.evaluation.fewshot import draws, few_shot, quotas
from twofold.evaluation.knn import accuracy
from twofold.evaluation.split import draw


def test_few_labels_are_the_same_images_for_every_representation():
    x, y = blobs(200)
    test, test_labels = blobs(100, seed=1)
    rows, _ = quotas(y)
    chosen = draws(y, *rows["few_2"], seed=0)
    assert torch.equal(chosen, draws(y, *rows["few_2"], seed=0))
    assert not torch.equal(chosen, draws(y, *rows["few_2"], seed=1))

    def measured(scale, shift, which):
        predicted = few_shot(x * scale + shift, y, test * scale + shift, which)
        return [accuracy(labels, test_labels) for labels in predicted]

    scores = measured(1, 0, chosen)
    assert len(scores) == 10
    assert len(set(scores)) > 1  # different draws
    assert measured(3, 1, chosen) == pytest.approx(scores, abs=0.011)
    many = measured(1, 0, draws(y, *rows["few_10"], seed=0))
    assert np.mean(many) > np.mean(scores)


def test_what_is_drawn():
    """So many of each class, or all it has; a share of all labels, and of each class as far as it is whole."""
    y = torch.tensor([3] * 100 + [9] * 44 + [11] * 4)
    rows, skipped = quotas(y)
    assert {name: total for name, (_, total) in rows.items()} == {
        "few_1": 3, "few_2": 6, "few_5": 14, "few_10": 24, "few_10_percent": 15,
    }  # fmt: skip
    assert len(skipped) == 1
    assert "1 % of 148 labels are 1, less than one for each of 3 classes" in skipped[0]
    for name, (quota, total) in rows.items():
        for rows_drawn in draws(y, quota, total, seed=3):
            assert len(set(rows_drawn.tolist())) == total
            found = y[rows_drawn].unique(return_counts=True)[1]
            assert (found >= quota).all()
            if "percent" not in name:
                assert torch.equal(found, quota)
    rows, skipped = quotas(torch.tensor([0, 1] * 5))  # 5 a class are all there are: every draw would be the same
    assert list(rows) == ["few_1", "few_2"]
    assert [line.partition(",")[0] for line in skipped[:2]] == [
        "5 a class are all 10 labels",
        "10 a class are all 10 labels",
    ]
    few = draw(y, torch.tensor([1, 1, 1]), 3, torch.Generator().manual_seed(0))
    assert y[few].sort().values.tolist() == [3, 9, 11]
