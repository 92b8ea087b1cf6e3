"""Few labels: a linear probe learns from some labelled images of each class; which ones, is drawn several times."""

from collections.abc import Sequence

import torch
from torch import Tensor

from twofold import rng
from twofold.evaluation.linear import Probe, fit_probes
from twofold.evaluation.split import draw

SHOTS = (1, 2, 5, 10)
"""How many labels of each class are drawn."""
SHARES = (0.01, 0.1)
"""Which shares of all labels are drawn."""
DRAWS = 10
"""How often each number of labels is drawn."""
Quota = tuple[Tensor, int]
"""How many images of each class are drawn, [K], and how many in all."""
ELEMENTS = 1 << 27
"""How many numbers of drawn features are held at once: half a gigabyte."""


def quotas(
    labels: Tensor, shots: Sequence[int] = SHOTS, shares: Sequence[float] = SHARES
) -> tuple[dict[str, Quota], list[str]]:
    """How many labelled images are drawn, by the name of the row that shows it; and why some rows are left out.

    Args:
        labels: of the training images, [N], K classes.
        shots: draw so many images of each class, or all of a class that has fewer.
        shares: draw such a share of all images: of each class its share, rounded down, but at least one image, and then
            any images up to the total.

    Returns:
        For each row how many images of each class are drawn, [K], and how many in all; and a sentence for each number
        that takes all labels, so that every draw would be the same, and for each share that would be less than an image
        a class.
    """
    counts = labels.unique(return_counts=True)[1]
    rows, skipped = {}, []
    for number in shots:
        quota, total = shot(labels, number)
        if total == len(labels):
            skipped.append(f"{number} a class are all {total} labels, which can be drawn in one way only: no such row")
        else:
            rows[f"few_{number}"] = (quota, total)
    for share in shares:
        total = round(share * len(labels))
        quota = (counts * share).long().clamp_min(1)
        if total < len(counts):
            skipped.append(
                f"{100 * share:g} % of {len(labels)} labels are {total}, less than one for each of "
                f"{len(counts)} classes: no such row"
            )
        else:
            rows[f"few_{100 * share:g}_percent"] = (quota, max(total, int(quota.sum())))
    return rows, skipped


def shot(labels: Tensor, number: int) -> Quota:
    """``number`` images of each class, or all of a class that has fewer: how many of each, [K], and how many in all."""
    quota = labels.unique(return_counts=True)[1].clamp_max(number)
    return quota, int(quota.sum())


def draws(labels: Tensor, quota: Tensor, total: int, seed: int, count: int = DRAWS) -> Tensor:
    """Which labelled images are drawn, ``count`` times: their numbers [count, total].

    They depend on the labels and the seed alone, so that they are the same for every representation.
    """
    generators = [rng.generator(seed, "few labels", total, number) for number in range(count)]
    return torch.stack([draw(labels, quota, total, generator) for generator in generators])


def few_shot(train: Tensor, train_labels: Tensor, test: Tensor, chosen: Tensor) -> list[Tensor]:
    """Labels of test features [M, D] by the linear probe of each row of ``chosen``, numbers of images [B, n]."""
    return [probe.predict(test) for probe in probes_of(train, train_labels, chosen)]


def probes_of(features: Tensor, labels: Tensor, chosen: Tensor) -> list[Probe]:
    """The linear probe of each row of ``chosen``, numbers of labelled images [B, n].

    Its strength is `linear.DEFAULT`: so few labels leave none to choose it by.
    """
    at_once = max(1, ELEMENTS // (chosen.shape[1] * features.shape[1]))
    return [probe for some in chosen.split(at_once) for probe in fit_probes(features, labels, some)]
