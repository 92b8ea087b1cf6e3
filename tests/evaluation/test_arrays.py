"""Arrays of anybody's, as probes take them."""

import numpy as np
import torch

from twofold.evaluation.arrays import as_splits, number_labels


def test_every_fifth_row_of_each_class_is_held_out():
    x = torch.arange(24.0)[:, None]
    train, test, classes, how = as_splits(x, ["b"] * 12 + ["a"] * 12)
    assert test.values[:, 0].tolist() == [4, 9, 16, 21]
    assert test.labels.tolist() == [1, 1, 0, 0]
    assert sorted(train.values[:, 0].tolist() + test.values[:, 0].tolist()) == x[:, 0].tolist()
    assert classes == ["a", "b"]
    assert "every fifth" in how


def test_features_become_float32_on_the_cpu_without_gradients():
    x = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    train, test, *_ = as_splits(x, [0, 1] * 6, np.ones((1, 3)), [1])
    assert train.values.dtype == test.values.dtype == torch.float32
    assert not train.values.requires_grad


def test_classes_have_one_number_in_all_lists():
    """Also those that the training labels lack; numbers are sorted as numbers."""
    (first, second), names = number_labels({"labels": ([10, 2, 2], 3), "test labels": (np.array([2, 3]), 2)})
    assert names == ["2", "3", "10"]
    assert first.tolist() == [2, 0, 0]
    assert second.tolist() == [0, 1]
