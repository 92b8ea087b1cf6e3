"""Linear probes: multinomial logistic regression on frozen features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.evaluation import logistic
from twofold.evaluation.split import hold_out, hold_out_groups

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""The inverse regularisations that are tried: scikit-learn's C, on features of mean squared norm 1."""
DEFAULT = 10.0
"""The strength where there are too few labels to choose one by; the same for every representation."""


@dataclass(frozen=True)
class Probe:
    """A linear probe of features as they are: ``weights`` [D, K], ``intercepts`` [K].

    ``names`` [K] are the values of the labels; ``strength`` is the inverse regularisation that it was found with.
    """

    weights: Tensor
    intercepts: Tensor
    names: Tensor
    strength: float

    def predict(self, features: Tensor) -> Tensor:
        """Labels [N] of features [N, D]."""
        return self.names[(features @ self.weights + self.intercepts).argmax(1)]

    def probabilities(self, features: Tensor) -> Tensor:
        """The probability of each of ``names`` for features [N, D]: [N, K]."""
        return (features @ self.weights + self.intercepts).softmax(1)


def fit_probe(
    features: Tensor, labels: Tensor, strength: float | None = None, seed: int = 0, groups: Tensor | None = None
) -> Probe:
    """The probe of features [N, D] with labels [N], which have two values or more.

    ``strength`` is the inverse regularisation. By default it is that of `STRENGTHS` which does best on training images
    that are held out; all are tried at once, and of equally good ones the strongest regularisation is taken.
    ``groups`` [N], as the image of each pixel: all rows of a group are held out, or none.
    """
    scale = scale_of(features)
    x = (features - scale[0]) / scale[1]
    names, y = labels.unique(return_inverse=True)
    start = None
    choosing = None
    if strength is None:
        choosing = hold_out(labels, seed) if groups is None else hold_out_groups(groups, seed)
    if strength is None and choosing is None:
        strength = DEFAULT
    if choosing is not None:
        fitting, held = choosing
        penalties = 1 / (torch.tensor(STRENGTHS) * len(fitting))
        tried = logistic.fit(x[fitting], y[fitting], len(names), penalties, tolerance=1e-3)
        right = [int((_scores(x[held], weights).argmax(1) == y[held]).sum()) for weights in tried]
        best = right.index(max(right))
        strength, start = STRENGTHS[best], tried[best : best + 1]
    assert strength is not None
    weights = logistic.fit(x, y, len(names), torch.tensor([1 / (strength * len(x))]), start)[0]
    return _probe(weights, names, scale, strength)


def fit_probes(features: Tensor, labels: Tensor, chosen: Tensor, strength: float = DEFAULT) -> list[Probe]:
    """A probe from each row of ``chosen``, numbers of images [B, n] among which every class has one.

    The features are scaled by all images, which needs no labels; ``labels`` may be those of the first ones alone.
    """
    mean, length = scale_of(features)
    names, y = labels.unique(return_inverse=True)
    count, n = chosen.shape
    penalty = torch.full((count,), 1 / (strength * n))
    fitted = logistic.fit((features[chosen] - mean) / length, y[chosen], len(names), penalty)
    return [_probe(weights, names, (mean, length), strength) for weights in fitted]


def _probe(weights: Tensor, names: Tensor, scale: tuple[Tensor, Tensor], strength: float) -> Probe:
    """The probe whose weights were found for scaled features, for features as they are."""
    mean, length = scale
    plain = weights[:-1] / length
    return Probe(plain, weights[-1] - mean @ plain, names, strength)


def _scores(x: Tensor, weights: Tensor) -> Tensor:
    return x @ weights[:-1] + weights[-1]


def scale_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of features, [D], and the root of their mean squared distance from it.

    All dimensions are divided by that one length: dividing each by its own deviation would raise those that hardly
    vary, which costs raw pixels 8 points of accuracy with one label a class (digits).
    """
    mean = features.mean(0)
    return mean, (features - mean).square().sum(1).mean().sqrt().clamp_min(1e-12)
