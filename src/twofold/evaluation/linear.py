"""Linear probes: multinomial logistic regression on frozen features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.evaluation import logistic
from twofold.evaluation.split import hold_out

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse regularisations tried: scikit-learn's C, on features of mean squared norm 1."""
DEFAULT = 10.0
"""Where there are too few labels to choose by; the same for every representation."""


@dataclass(frozen=True)
class Probe:
    """Weights [D, K] and intercepts [K] for features as they are; the labels' values [K]; the strength C it has."""

    weights: Tensor
    intercepts: Tensor
    names: Tensor
    strength: float

    def predict(self, features: Tensor) -> Tensor:
        """Labels [N] of features [N, D]."""
        return self.names[(features @ self.weights + self.intercepts).argmax(1)]


def fit_probe(features: Tensor, labels: Tensor, strength: float | None = None, seed: int = 0) -> Probe:
    """The probe of features [N, D] with labels [N] of any two values or more.

    ``strength``: the inverse regularisation C; None: that of `STRENGTHS` which does best on a held-out part, all of
    them trained at once, the strongest regularisation winning a tie.
    """
    scale = scale_of(features)
    x = (features - scale[0]) / scale[1]
    names, y = labels.unique(return_inverse=True)
    start = None
    parts = hold_out(labels, seed) if strength is None else None
    if strength is None and parts is None:
        strength = DEFAULT
    if parts is not None:
        fitting, held = parts
        penalties = 1 / (torch.tensor(STRENGTHS) * len(fitting))
        tried = logistic.fit(x[fitting], y[fitting], len(names), penalties, tolerance=1e-3)
        right = [int((_scores(x[held], weights).argmax(1) == y[held]).sum()) for weights in tried]
        best = right.index(max(right))
        strength, start = STRENGTHS[best], tried[best : best + 1]
    assert strength is not None
    weights = logistic.fit(x, y, len(names), torch.tensor([1 / (strength * len(x))]), start)[0]
    return _probe(weights, names, scale, strength)


def fit_probes(features: Tensor, labels: Tensor, chosen: Tensor, strength: float = DEFAULT) -> list[Probe]:
    """A probe from each row of ``chosen`` [B, n], numbers of images of which every class has one.

    The features' scale is that of all images: it needs no labels.
    """
    mean, length = scale_of(features)
    names, y = labels.unique(return_inverse=True)
    count, n = chosen.shape
    penalty = torch.full((count,), 1 / (strength * n))
    fitted = logistic.fit((features[chosen] - mean) / length, y[chosen], len(names), penalty)
    return [_probe(weights, names, (mean, length), strength) for weights in fitted]


def _probe(weights: Tensor, names: Tensor, scale: tuple[Tensor, Tensor], strength: float) -> Probe:
    """From weights for scaled features to weights for features as they are."""
    mean, length = scale
    plain = weights[:-1] / length
    return Probe(plain, weights[-1] - mean @ plain, names, strength)


def _scores(x: Tensor, weights: Tensor) -> Tensor:
    return x @ weights[:-1] + weights[-1]


def scale_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [D], and the root mean squared length of features from it.

    One length for all dimensions: dividing each by its own deviation would raise what hardly varies, which costs raw
    pixels 8 points with one label a class (digits).
    """
    mean = features.mean(0)
    return mean, (features - mean).square().sum(1).mean().sqrt().clamp_min(1e-12)
