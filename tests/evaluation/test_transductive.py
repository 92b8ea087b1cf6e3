"""Labels that spread, against the closed form in float64 and against what they are for."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tests.conftest import blobs
from twofold.encoding.extract import Features
from twofold.evaluation import scores
from twofold.evaluation.fewshot import draws, probes_of, quotas, shot
from twofold.evaluation.knn import accuracy
from twofold.evaluation.split import every_fifth
from twofold.evaluation.transductive import graph_of, probabilities, spread


def plain(features, labelled, classes, count):
    """(I - a S)^-1 Y with loops and a solver, in float64; a row that nothing reaches is 0."""
    x = features.double().numpy()
    x = x - x.mean(0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    one_way = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        for j in [j for j in np.argsort(-row) if j != i][:10]:
            one_way[i, j] = max(0.0, row[j]) ** 3
    both = one_way + one_way.T
    degree = both.sum(1)
    y = np.zeros((len(x), count))
    for i, c in zip(labelled, classes, strict=True):
        y[i, c] = 1 / classes.count(c)
    found = np.linalg.solve(np.eye(len(x)) - 0.95 * both / np.sqrt(np.outer(degree, degree)), y)
    return found / found.sum(1, keepdims=True)


def test_labels_spread_as_the_closed_form_has_it():
    x, y = blobs(150, spread=2.0)
    labelled, classes = [0, 1, 2, 3, 4, 9], y[[0, 1, 2, 3, 4, 9]].tolist()  # not as many of each
    assert len(set(classes)) == 4
    assert len({classes.count(c) for c in classes}) > 1
    found = spread(graph_of(x), torch.tensor(labelled), torch.tensor(classes), 4)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, plain(x, labelled, classes, 4), atol=0.02)
    assert torch.allclose(found.sum(1), torch.ones(150))


def test_where_no_label_comes_all_classes_are_alike():
    """Two groups whose neighbours are all of their own group, and labels in the first one alone."""
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(60, 8, generator=gen) * 0.1
    x[:30, 0] += 1
    x[30:, 0] -= 1
    found = spread(graph_of(x), torch.tensor([0, 1]), torch.tensor([0, 1]), 2)
    assert torch.equal(found[30:], torch.full((30, 2), 0.5))
    assert (found[:30] != 0.5).any()
    same = torch.ones(40, 8)  # collapsed features: nothing is near anything
    assert torch.equal(
        spread(graph_of(same), torch.tensor([0, 1]), torch.tensor([0, 1]), 2)[2:], torch.full((38, 2), 0.5)
    )


def test_the_answer_is_the_mean_of_both():
    x, y = blobs(120, spread=2.0)
    graph, chosen = graph_of(x), draws(y[:80], *shot(y[:80], 2), seed=0, count=2)
    both = list(probabilities(x, graph, y[:80], chosen))
    for found, probe, some in zip(both, probes_of(x, y[:80], chosen), chosen, strict=True):
        own = probe.probabilities(x)
        assert torch.equal(own.argmax(1), probe.predict(x))  # the classes are 0 to 3
        assert torch.allclose(found, (own + spread(graph, some, y[some], 4)) / 2)


def test_few_labels_of_real_images_gain_by_those_without():
    """Scanned digits as pixels, the same labels as the linear probe has; with more labels it gains less."""
    pixels, truth = load_digits(return_X_y=True)
    pixels, truth = torch.tensor(pixels).float(), torch.tensor(truth)
    train, test = (Features(pixels[rows], rows, truth[rows]) for rows in every_fifth(truth.tolist(), "digits"))
    rows, _ = quotas(train.labels)
    found = scores.few_labels_of_all(train, test, rows)
    gains = {row: found[row].less(scores.few_labels(train, test, *rows[row])) for row in ("few_1", "few_10")}
    assert gains["few_1"].value > 0.15
    assert all(gain.direction > 0 for gain in gains.values())
    assert gains["few_1"].value > 2 * gains["few_10"].value
    assert found["few_1"].labels == 10
    assert found["few_1"].over == "10 draws of the labels"


def test_test_labels_are_not_looked_at():
    x, y = blobs(200, spread=2.0)
    train, wrong = Features(x[:150], [], y[:150]), y[150:].flip(0)
    quota = shot(train.labels, 1)
    found = scores.few_labels_of_all(train, Features(x[150:], [], wrong), {"few_1": quota})["few_1"]
    answers = list(probabilities(x, graph_of(x), train.labels, draws(train.labels, *quota, 0)))
    predicted = [answer[150:].argmax(1) for answer in answers]
    assert found.value == pytest.approx(np.mean([accuracy(own, wrong) for own in predicted]))
    assert np.mean([accuracy(own, y[150:]) for own in predicted]) > 2 * found.value
