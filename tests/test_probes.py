"""Probes against scikit-learn's, few labels, and heads with a hidden layer."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.conftest import blobs
from twofold.evaluation import logistic, mlp
from twofold.evaluation.clusters import kmeans
from twofold.evaluation.fewshot import draws, few_shot, quotas
from twofold.evaluation.knn import accuracy, knn_predict
from twofold.evaluation.linear import STRENGTHS, fit_probe, fit_probes, scale_of
from twofold.evaluation.split import draw, hold_out


def scaled(features, by):
    mean = by.mean(0)
    length = sum(float((row - mean) @ (row - mean)) for row in by) ** 0.5 / len(by) ** 0.5
    return ((features - mean) / length).double().numpy(), length


def oracle(x, y, strength):
    return LogisticRegression(C=strength, max_iter=100_000, tol=1e-9).fit(x, y)


@pytest.mark.parametrize(
    ("images", "dimensions", "values"),
    [
        (300, 8, (0, 1, 2, 3)),
        (300, 8, (-7, 1000)),  # two classes: scikit-learn has one vector of weights for both
        (60, 100, (5, 3, 8)),  # fewer images than dimensions
    ],
)
@pytest.mark.parametrize("strength", [0.1, 10.0, 100.0])
def test_the_probe_is_logistic_regression(images, dimensions, values, strength):
    """Weights, intercepts and predictions, for a given strength."""
    x, y = blobs(images, dimensions, len(values), spread=4.0)
    y = torch.tensor(values)[y]
    test, _ = blobs(200, dimensions, len(values), seed=1, spread=4.0)
    probe = fit_probe(x, y, strength)
    rows, length = scaled(x, x)
    plain = oracle(rows, y.numpy(), strength)
    ours, bias = probe.weights.numpy() * length, (probe.intercepts + x.mean(0) @ probe.weights).numpy()
    weights, intercepts = plain.coef_.T, plain.intercept_
    if len(values) == 2:
        ours, bias = ours[:, 1:] - ours[:, :1], bias[1:] - bias[:1]
    else:
        bias = bias - bias.mean()
    assert np.abs(ours - weights).max() < 0.01 * np.abs(weights).max()
    assert np.abs(bias - intercepts).max() < 0.01 * max(1, np.abs(intercepts).max())
    assert (probe.predict(test).numpy() == plain.predict(scaled(test, x)[0])).mean() > 0.99


def test_many_problems_at_once_are_each_alone():
    """Every strength of one set of images, and one strength of several sets; also from another start."""
    x, y = blobs(200, 12, 3)
    x = x.double()
    penalty = torch.tensor([1.0, 0.1, 1e-3], dtype=torch.float64)
    together = logistic.fit(x, y, 3, penalty, tolerance=1e-7)
    for weights, single in zip(together, penalty, strict=True):
        torch.testing.assert_close(logistic.fit(x, y, 3, single[None], tolerance=1e-7)[0], weights, atol=1e-5, rtol=0)
    halves = logistic.fit(torch.stack([x[::2], x[1::2]]), torch.stack([y[::2], y[1::2]]), 3, penalty[[2, 2]])
    for part, weights in enumerate(halves):
        alone = logistic.fit(x[part::2], y[part::2], 3, penalty[2:])
        torch.testing.assert_close(alone[0], weights, atol=1e-2, rtol=0)
    warm = logistic.fit(x, y, 3, penalty, start=together.flip(0), tolerance=1e-7)
    torch.testing.assert_close(warm, together, atol=1e-3, rtol=0)


def test_the_gradient_is_zero_where_it_ends():
    """Of the objective as the docstring has it, by autograd."""
    x, y = blobs(150, 6, 4)
    x, penalty = x.double(), 0.02
    weights = logistic.fit(x, y, 4, torch.tensor([penalty], dtype=torch.float64), tolerance=1e-6)[0].requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weights[:-1] + weights[-1], y)
    (gradient,) = torch.autograd.grad(loss + penalty / 2 * weights[:-1].square().sum(), weights)
    assert gradient.abs().max() < 1e-5


def test_a_thousand_classes():
    x, y = blobs(2000, 64, 1000, spread=0.5)
    probe = fit_probe(x, y * 3 + 7, 10.0)
    plain = LogisticRegression(C=10.0, max_iter=500).fit(scaled(x, x)[0], y.numpy() * 3 + 7)
    test, _ = blobs(2000, 64, 1000, seed=1, spread=0.5)
    ours, theirs = probe.predict(test).numpy(), plain.predict(scaled(test, x)[0])
    assert (ours == theirs).mean() > 0.98
    assert abs((ours == y.numpy() * 3 + 7).mean() - (theirs == y.numpy() * 3 + 7).mean()) <= 0.003


def test_the_strength_is_the_best_on_what_is_held_out():
    x, y = blobs(400, d=40, spread=6.0)
    x = torch.cat([x, torch.randn(400, 200, generator=torch.Generator().manual_seed(3))], 1)
    fitting, held = hold_out(y, 0)
    mean, length = scale_of(x)
    rows = ((x - mean) / length).numpy()
    scores = [oracle(rows[fitting], y[fitting].numpy(), c).score(rows[held], y[held].numpy()) for c in STRENGTHS]
    chosen = fit_probe(x, y).strength
    assert scores[STRENGTHS.index(chosen)] >= max(scores) - 1.5 / len(held)
    assert len(set(scores)) > 1


def test_a_held_out_part_has_every_class_and_shares_no_image():
    _, y = blobs(103, classes=4)
    fitting, held = hold_out(y, 0)
    assert sorted(fitting.tolist() + held.tolist()) == list(range(103))
    assert y[held].bincount().tolist() == [5, 5, 5, 5]
    assert hold_out(y, 0)[1].tolist() == held.tolist() != hold_out(y, 1)[1].tolist()
    assert hold_out(torch.tensor([0] * 50 + [1]), 0) is None  # too few of one to hold any out


def test_few_and_uneven_labels_are_no_obstacle():
    x, y = blobs(31, classes=2)
    y[:] = 0
    y[-1] = 1000
    assert set(fit_probe(x, y).predict(x).tolist()) <= {0, 1000}
    assert set(knn_predict(x, y, x).tolist()) <= {0, 1000}
    assert all(set(labels.tolist()) <= {0, 1000} for labels in mlp.fit_heads(x, y, x)[0])


def test_few_labels_are_the_same_images_for_every_representation():
    x, y = blobs(200)
    test, test_labels = blobs(100, seed=1)
    rows, _ = quotas(y)
    chosen = draws(y, *rows["2 a class"], seed=0)
    assert torch.equal(chosen, draws(y, *rows["2 a class"], seed=0))
    assert not torch.equal(chosen, draws(y, *rows["2 a class"], seed=1))
    scores = few_shot(x, y, test, test_labels, chosen)
    assert len(scores) == 10
    assert len(set(scores)) > 1  # different draws
    assert few_shot(x * 3 + 1, y, test * 3 + 1, test_labels, chosen) == pytest.approx(scores, abs=0.011)
    many = few_shot(x, y, test, test_labels, draws(y, *rows["10 a class"], seed=0))
    assert np.mean(many) > np.mean(scores)


def test_probes_of_several_draws_are_scikit_learns():
    x, y = blobs(300, 20, spread=4.0)
    chosen = draws(y, *quotas(y)[0]["5 a class"], seed=0)
    for rows, probe in zip(chosen, fit_probes(x, y, chosen), strict=True):
        plain = oracle(scaled(x, x)[0][rows], y[rows].numpy(), 10.0)
        assert (probe.predict(x).numpy() == plain.predict(scaled(x, x)[0])).mean() > 0.99


def test_what_is_drawn():
    """So many of each class, or all it has; a share of all labels, and of each class as far as it is whole."""
    y = torch.tensor([3] * 100 + [9] * 44 + [11] * 4)
    rows, skipped = quotas(y)
    assert {name: total for name, (_, total) in rows.items()} == {
        "1 a class": 3, "2 a class": 6, "5 a class": 14, "10 a class": 24, "10 % of labels": 15,
    }  # fmt: skip
    assert len(skipped) == 1
    assert "1 % of 148 labels are 1, less than one for each of 3 classes" in skipped[0]
    for name, (quota, total) in rows.items():
        for rows_drawn in draws(y, quota, total, seed=3):
            assert len(set(rows_drawn.tolist())) == total
            found = y[rows_drawn].unique(return_counts=True)[1]
            assert (found >= quota).all()
            if "class" in name:
                assert torch.equal(found, quota)
    few = draw(y, torch.tensor([1, 1, 1]), 3, torch.Generator().manual_seed(0))
    assert y[few].sort().values.tolist() == [3, 9, 11]


def test_a_hidden_layer_tells_what_a_line_cannot():
    """The class is whether two features have the same sign."""
    x = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    y = ((x[:, 0] > 0) == (x[:, 1] > 0)).long() * 5
    x, y, test, truth = x[:400], y[:400], x[400:], y[400:]
    predicted, rate = mlp.fit_heads(x, y, test)
    assert rate in mlp.RATES
    assert all(accuracy(labels, truth) > 0.93 for labels in predicted)
    assert len({tuple(labels.tolist()) for labels in predicted}) > 1  # three heads, not three times one
    assert accuracy(fit_probe(x, y).predict(test), truth) < 0.65


@pytest.mark.parametrize("value", [0.0, 3.7])
def test_collapsed_features_say_nothing_and_break_nothing(value):
    x, y = torch.full((80, 5), value), torch.arange(80) % 4
    assert len(set(fit_probe(x, y).predict(x).tolist())) == 1
    assert few_shot(x, y, x, y, draws(y, *quotas(y)[0]["2 a class"], seed=0)) == [0.25] * 10
    assert accuracy(mlp.fit_heads(x, y, x)[0][0], y) == 0.25
    assert kmeans(x, 4, 0).tolist() == [0] * 80


def test_features_that_repeat_themselves():
    """As pixels of a plain background do: their Gram matrix has eigenvalues that rounding makes negative."""
    x, y = blobs(400, 6, 4, spread=4.0)
    wide = torch.cat([x * 100, (x @ torch.randn(6, 200, generator=torch.Generator().manual_seed(0)))], 1)
    rows, _ = scaled(wide, wide)
    plain = oracle(rows, y.numpy(), 10.0)
    assert (fit_probe(wide, y, 10.0).predict(wide).numpy() == plain.predict(rows)).mean() > 0.99
