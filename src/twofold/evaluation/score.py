"""A figure that a probe gives, with its spread, and the difference of two of them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """A figure with its spread: ``value`` ± ``spread``.

    Attributes:
        value: the figure; an accuracy is from 0 to 1.
        spread: the standard error of a share of the test images, or the standard deviation over draws, seeds or starts.
        over: what the spread is over, in words.
        metric: what the figure measures.
        labels: how many labels were used, where that is counted.
        chosen: what the probe chose for itself, by name, such as the number of neighbours ``k`` or the ``strength``.
        recall: of an accuracy, the share of each class's test images that are right, by the number of the class in the
            order of the sorted labels.
        balanced: of an accuracy, the mean of the classes' own, in which every class counts alike. Of one prediction,
            its spread takes the share of a class for that of two more test images, one right and one wrong, so that a
            class with one has a spread.
        each: the figure of each test image, whose mean ``value`` is, in each draw or for each seed: [B, N]. Of an
            accuracy it says whether the image was told right.
        most: the largest figure that an image can have.
    """

    value: float
    spread: float
    over: str
    metric: str = "accuracy"
    labels: int | None = None
    chosen: Mapping[str, int | float] = field(default_factory=dict)
    recall: Mapping[int, float] = field(default_factory=dict)
    balanced: "Score | None" = None
    each: Tensor | None = field(default=None, repr=False, compare=False)
    most: float = field(default=1.0, repr=False, compare=False)

    def __float__(self) -> float:
        return self.value

    @classmethod
    def of_share(cls, share: float, images: int, **more: Any) -> "Score":
        """A share of the test images and its standard error: what another test set of this size could change."""
        return cls(share, math.sqrt(share * (1 - share) / images), f"{images} test images", **more)

    @classmethod
    def of_predictions(cls, predicted: Tensor, truth: Tensor, **more: Any) -> "Score":
        """The accuracy of predicted classes [N], over all test images and over those of each class."""
        right = (predicted == truth).double()
        classes, members = truth.unique(return_inverse=True)
        images = members.bincount()
        found = torch.zeros(len(classes), dtype=torch.float64).index_add_(0, members, right)
        weight = _weights(truth)
        recall, likely = found / images, (found + 1) / (images + 2)  # one image says little: its share is 0 or 1
        error = float((likely * (1 - likely) / images).sum().sqrt()) / len(classes)
        return cls.of_share(
            float(right.mean()),
            len(truth),
            recall=dict(zip(classes.tolist(), recall.tolist(), strict=True)),
            balanced=cls(
                float(recall.mean()),
                error,
                f"{len(truth)} test images",
                "balanced accuracy",
                each=(right * weight)[None],
                most=float(weight.max()),
            ),
            each=right.bool()[None],
            **more,
        )

    @classmethod
    def of_several(cls, values: Sequence[float], over: str, **more: Any) -> "Score":
        """The mean of several figures and their standard deviation; ``over`` names what they are, in the plural."""
        return cls(statistics.fmean(values), statistics.stdev(values), f"{len(values)} {over}", **more)

    @classmethod
    def of_attempts(cls, predicted: Sequence[Tensor], truth: Tensor, over: str, **more: Any) -> "Score":
        """The mean accuracy of several predictions [N] of the same classes; ``over`` as `of_several` has it."""
        right = torch.stack(list(predicted)) == truth
        weight = _weights(truth)
        about = {"metric": "balanced accuracy", "each": right * weight, "most": float(weight.max())}
        balanced = cls.of_several((right * weight).mean(1).tolist(), over, **about)
        return cls.of_several(right.float().mean(1).tolist(), over, each=right, balanced=balanced, **more)

    def less(self, other: "Score") -> "Score":
        """By how much this score is above another one of the same test images; the spread is the standard error of it.

        Where both have a figure for ``each`` image, they are subtracted image by image, so that what makes an image or
        a draw of labels hard for both does not count. The error is that over images and that over draws or seeds,
        taken together. That over images is as if there were no difference, as in McNemar's test, and has two images
        more, one told by this one alone and one by the other alone, without which a few images would seem to say much;
        where images count for different parts, these two count for as much as one can.
        Other scores are taken for independent of each other.
        """
        if self.each is None or other.each is None or self.each.shape != other.each.shape:
            spread = math.hypot(self.spread, other.spread)
            return Score(self.value - other.value, spread, "both as if they were independent", self.metric)
        apart = self.each.double() - other.each.double()
        draws, images = apart.shape
        error = math.sqrt(float(apart.mean(0).square().sum()) + 2 * max(self.most, other.most) ** 2) / images
        if draws == 1:
            return Score(float(apart.mean()), error, f"{images} test images", self.metric)
        error = math.hypot(error, error_of_mean(apart.mean(1).tolist()))
        return Score(float(apart.mean()), error, f"{self.over} and {images} test images", self.metric)

    @property
    def direction(self) -> int:
        """Of a difference: 1 if it is clearly above 0, by more than two of its errors, -1 if clearly below, else 0."""
        return (self.value > 2 * self.spread) - (self.value < -2 * self.spread)

    def json(self, classes: Sequence[str] | None = None) -> dict[str, Any]:
        """As evaluation.json has it; ``classes``: the names of the classes by number, if they have any."""
        kept = {"metric": self.metric, "value": self.value, "spread": self.spread, "over": self.over}
        labels = {} if self.labels is None else {"labels": self.labels}
        recall = {classes[label] if classes else str(label): share for label, share in self.recall.items()}
        return kept | labels | dict(self.chosen) | ({"recall": recall} if recall else {})


def _weights(truth: Tensor) -> Tensor:
    """What each test image [N] counts for where every class has the same part of the mean; 1 on average."""
    classes, members = truth.unique(return_inverse=True)
    weights: Tensor = len(truth) / len(classes) / members.bincount().double()
    return weights[members]


def error_of_mean(values: Sequence[float]) -> float:
    """The standard error of the mean of several values, made larger where they are few.

    It is such that in 95 of 100 cases the true mean lies within twice of it, by Student's t. Without that, this would
    be 1.96 times the error of many values, but 4.3 times that of three.
    """
    return float(stdtrit(len(values) - 1, 0.975)) / 2 * statistics.stdev(values) / math.sqrt(len(values))
