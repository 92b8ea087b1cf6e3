"""Few labels: a probe from k labelled images a class, over several draws of which ones."""

import statistics

import torch
from torch import Tensor

from twofold import rng
from twofold.evaluation.linear import DEFAULT, LinearProbe, scale_of


def few_shot(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, shots: int, draws: int = 10, seed: int = 0
) -> list[float]:
    """Test accuracy from ``shots`` labelled images of each class, once a draw.

    Draw i takes the same images whatever the features, so representations are compared on the same labels.
    """
    scale = scale_of(train)
    scores = []
    for draw in range(draws):
        generator = rng.generator(seed, "few-shot", shots, draw)
        order = torch.randperm(len(train), generator=generator)
        chosen = torch.cat([order[train_labels[order] == c][:shots] for c in train_labels.unique()])
        probe = LinearProbe(DEFAULT).fit(train[chosen], train_labels[chosen], scale)
        scores.append(float((probe.predict(test) == test_labels.numpy()).mean()))
    return scores


def spread(scores: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return statistics.fmean(scores), statistics.stdev(scores)
