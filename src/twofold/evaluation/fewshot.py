"""Few labels: a probe from some labelled images of every class, over several draws of which ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from twofold import rng
from twofold.evaluation.knn import accuracy
from twofold.evaluation.linear import fit_probes
from twofold.evaluation.split import draw

SHOTS = (1, 2, 5, 10)
SHARES = (0.01, 0.1)
DRAWS = 10
ELEMENTS = 1 << 27  # numbers of the drawn features held at once, half a gigabyte


def quotas(
    labels: Tensor, shots: Sequence[int] = SHOTS, shares: Sequence[float] = SHARES
) -> tuple[dict[str, tuple[Tensor, int]], list[str]]:
    """What is drawn, by the name of its row: images of each class [K], and in all; and why some shares are not.

    ``shots`` images of each class, or all of one that has fewer; or a share of all images, every class with the same
    share of its own as far as that is a whole number, and with one at least.
    """
    counts = labels.unique(return_counts=True)[1]
    rows = {}
    for number in shots:
        quota = counts.clamp_max(number)
        rows[f"few_{number}"] = (quota, int(quota.sum()))
    skipped = []
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


def draws(labels: Tensor, quota: Tensor, total: int, seed: int, count: int = DRAWS) -> Tensor:
    """Numbers of labelled images [count, total]: of labels and seed alone, so the same for every representation."""
    generators = [rng.generator(seed, "few labels", total, number) for number in range(count)]
    return torch.stack([draw(labels, quota, total, generator) for generator in generators])


def few_shot(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, chosen: Tensor) -> list[float]:
    """Test accuracy of a linear probe from each row of ``chosen`` [B, n], at the strength that needs no choosing."""
    at_once = max(1, ELEMENTS // (chosen.shape[1] * train.shape[1]))
    probes = [probe for rows in chosen.split(at_once) for probe in fit_probes(train, train_labels, rows)]
    return [accuracy(probe.predict(test), test_labels) for probe in probes]
