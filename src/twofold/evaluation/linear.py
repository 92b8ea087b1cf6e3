"""Linear probes: multinomial logistic regression on frozen features."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse regularisations tried: scikit-learn's C, on features of mean squared norm 1."""
DEFAULT = 10.0
"""Where there are too few labels to choose by; the same for every representation."""


class LinearProbe:
    """Logistic regression whose regularisation is chosen on a held-out part of its own training set."""

    def __init__(self, strength: float | None = None, seed: int = 0) -> None:
        """``strength``: the inverse regularisation C; None: chosen among `STRENGTHS`."""
        self.strength, self.seed = strength, seed

    def fit(self, features: Tensor, labels: Tensor, scale: tuple[Tensor, Tensor] | None = None) -> "LinearProbe":
        """Fit on features [N, D] and labels [N].

        ``scale`` is what `scale_of` gives, by default for ``features``. It needs no labels, so with few labels it may
        come from more images.
        """
        self.scale = scale or scale_of(features)
        x, y = self._scaled(features), labels.numpy()
        if self.strength is None:
            self.strength = self._choose(x, y)
        self.model = _fit(x, y, self.strength)
        return self

    def predict(self, features: Tensor) -> np.ndarray:
        """Classes [N]."""
        return np.asarray(self.model.predict(self._scaled(features)))

    def _scaled(self, features: Tensor) -> np.ndarray:
        mean, length = self.scale
        return ((features - mean) / length).numpy()

    def _choose(self, x: np.ndarray, y: np.ndarray) -> float:
        """The strength that does best on a tenth of the images (a fifth, if there are under 5,000)."""
        share = 0.1 if len(y) >= 5000 else 0.2
        classes, counts = np.unique(y, return_counts=True)
        if counts.min() < 2 or share * len(y) < len(classes):  # too few to hold some of each class out
            return DEFAULT
        x_fit, x_held, y_fit, y_held = train_test_split(x, y, test_size=share, random_state=self.seed, stratify=y)
        scores = {}
        model = None
        for strength in STRENGTHS:  # from strongly regularised to weakly, each starting from the one before
            model = _fit(x_fit, y_fit, strength, model)
            scores[strength] = model.score(x_held, y_held)
        return max(scores, key=lambda s: (scores[s], -s))


def scale_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [D], and the root mean squared length of features from it.

    One length for all dimensions: dividing each by its own deviation would raise what hardly varies, which costs raw
    pixels 8 points with one label a class (digits).
    """
    mean = features.mean(0)
    return mean, (features - mean).square().sum(1).mean().sqrt().clamp_min(1e-12)


def _fit(x: np.ndarray, y: np.ndarray, strength: float, start: LogisticRegression | None = None) -> LogisticRegression:
    model = LogisticRegression(C=strength, max_iter=1000, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest strengths need not be the chosen ones
        return model.fit(x, y)
