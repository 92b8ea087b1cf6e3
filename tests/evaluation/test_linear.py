"""Linear probes against scikit-learn's logistic regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.conftest import blobs
from twofold.evaluation.fewshot import draws, quotas
from twofold.evaluation.linear import STRENGTHS, fit_probe, fit_probes, scale_of
from twofold.evaluation.split import hold_out


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


def test_probes_of_several_draws_are_scikit_learns():
    x, y = blobs(300, 20, spread=4.0)
    chosen = draws(y, *quotas(y)[0]["few_5"], seed=0)
    for rows, probe in zip(chosen, fit_probes(x, y, chosen), strict=True):
        plain = oracle(scaled(x, x)[0][rows], y[rows].numpy(), 10.0)
        assert (probe.predict(x).numpy() == plain.predict(scaled(x, x)[0])).mean() > 0.99


def test_features_that_repeat_themselves():
    """As pixels of a plain background do: their Gram matrix has eigenvalues that rounding makes negative."""
    x, y = blobs(400, 6, 4, spread=4.0)
    wide = torch.cat([x * 100, (x @ torch.randn(6, 200, generator=torch.Generator().manual_seed(0)))], 1)
    rows, _ = scaled(wide, wide)
    plain = oracle(rows, y.numpy(), 10.0)
    assert (fit_probe(wide, y, 10.0).predict(wide).numpy() == plain.predict(rows)).mean() > 0.99
