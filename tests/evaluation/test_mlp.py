"""Heads with a hidden layer; and what every head makes of hopeless features."""

import pytest
import torch

from tests.conftest import blobs
from twofold.evaluation import mlp
from twofold.evaluation.clusters import kmeans
from twofold.evaluation.fewshot import draws, few_shot, quotas
from twofold.evaluation.knn import accuracy, knn_predict
from twofold.evaluation.linear import fit_probe


@pytest.fixture
def short(monkeypatch):
    """A few steps: what is learned is no matter."""
    monkeypatch.setattr(mlp, "STEPS", 5)


def test_a_hidden_layer_tells_what_a_line_cannot(monkeypatch):
    """The class is whether two features have the same sign."""
    monkeypatch.setattr(mlp, "RATES", (1e-4, 1e-2))
    x = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    y = ((x[:, 0] > 0) == (x[:, 1] > 0)).long() * 5
    x, y, test, truth = x[:400], y[:400], x[400:], y[400:]
    predicted, rate = mlp.fit_heads(x, y, test)
    assert rate == 1e-2
    assert all(accuracy(labels, truth) > 0.93 for labels in predicted)
    assert len({tuple(labels.tolist()) for labels in predicted}) > 1  # three heads, not three times one
    assert accuracy(fit_probe(x, y).predict(test), truth) < 0.65


def test_few_and_uneven_labels_are_no_obstacle(short):
    x, y = blobs(31, classes=2)
    y[:] = 0
    y[-1] = 1000
    assert set(fit_probe(x, y).predict(x).tolist()) <= {0, 1000}
    assert set(knn_predict(x, y, x).tolist()) <= {0, 1000}
    assert all(set(labels.tolist()) <= {0, 1000} for labels in mlp.fit_heads(x, y, x)[0])


@pytest.mark.parametrize("value", [0.0, 3.7])
def test_collapsed_features_say_nothing_and_break_nothing(value, short):
    x, y = torch.full((80, 5), value), torch.arange(80) % 4
    assert len(set(fit_probe(x, y).predict(x).tolist())) == 1
    few = few_shot(x, y, x, draws(y, *quotas(y)[0]["few_2"], seed=0))
    assert [accuracy(labels, y) for labels in few] == [0.25] * 10
    assert accuracy(mlp.fit_heads(x, y, x)[0][0], y) == 0.25
    assert kmeans(x, 4, 0).tolist() == [0] * 80
