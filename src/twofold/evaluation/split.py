"""Which labelled images are for what: training and testing, some held out to choose by, a few to learn from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from twofold import rng
from twofold.data.masks import RULES, WHITE, black_and_white
from twofold.data.opening import Data, open_data
from twofold.data.sampling import known
from twofold.data.sources import Source, Subset
from twofold.errors import UsageError
from twofold.evaluation import groups

OWN_PART = "the data's own test part"
HELD_OUT = "every fifth image of each class held out for testing; if pretraining saw them, then without labels"
LOOKED_AT = 512
"""How many masks, at most, say whether they are pictures in black and white."""


def splits_for(data: Data, labels: bool, masks: bool) -> tuple[Source, Source, str]:
    """Training and test images, and in words how they were told apart; with labels, with masks where these are needed.

    Raises:
        UsageError: if there are none of what is needed, or too few images.
    """
    if labels:
        train, test, how = labelled_splits(data)
    elif data.test is not None:
        train, test, how = data.train, data.test, OWN_PART
    else:
        train, test, how = held_out(data.train, data.name)
    for split, source in (("training", train), ("test", test)):
        if masks and not source.masked:
            raise UsageError(f"no {split} image in {data.name} has a mask ({RULES}), which segmentation needs")
    if masks and black_and_white(_values_of_masks(train)):
        train, test = _White(train), _White(test)
        how += "; masks are pictures in black and white, where white is class 1"
    return train, test, how


class _White(Subset):
    """Images whose masks are pictures in black and white: white pixels are of class 1, all others of class 0."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, range(len(source)))

    def mask(self, index: int) -> np.ndarray | None:
        mask = super().mask(index)
        return None if mask is None else (mask >= WHITE).astype(np.uint8)

    def compute_fingerprint(self) -> str:
        return self._source.fingerprint()


def _values_of_masks(source: Source) -> np.ndarray:
    """How many pixels of some random masks have each value: [256]."""
    order = torch.randperm(len(source.masked), generator=rng.generator(0, "values of masks"))
    counts = np.zeros(256, np.int64)
    for place in order[:LOOKED_AT].tolist():
        mask = source.mask(source.masked[place])
        assert mask is not None
        counts += np.bincount(mask.ravel(), minlength=256)
    return counts


def labelled_splits(data: Data) -> tuple[Source, Source, str]:
    """Labelled training and test images, and in words how they were told apart.

    Raises:
        UsageError: if there are no labels, or fewer than two classes.
    """
    data = _of_known(data)
    name, labels = data.name, data.train.labels
    notes = dict.fromkeys((*data.notes, *data.train.notes))  # some are known only when labels have been asked for
    more = "".join(f"; {note}" for note in notes)
    if labels is None:
        raise UsageError(
            f"the images in {name} have no labels: evaluation needs class folders, a column of labels, or "
            f"a table (.csv) of images and their labels{more}"
        )
    if len(set(labels)) < 2:
        tested = len(set(data.test.labels or ())) if data.test else 0
        more += f"; the test images are of {tested} classes: name their folder to divide them" if tested > 1 else ""
        raise UsageError(f"the training images in {name} are all of one class: there is nothing to tell apart{more}")
    if data.mismatch:
        raise UsageError(f"{name}: {data.mismatch}")
    if data.test is not None and data.test.labels is not None:
        return data.train, data.test, OWN_PART + groups.in_both(data.train.groups, data.test.groups)
    return held_out(data.train, name)


def _of_known(data: Data) -> Data:
    """The labelled images of data in which others have no label; the same data where all or none have one."""
    train, test = known(data.train), None if data.test is None else known(data.test)
    same = train is data.train and test is data.test
    return data if same else open_data(replace(data, train=train, test=test))


def held_out(source: Source, name: str) -> tuple[Source, Source, str]:
    """Training and test images of a source that names no test part, and in words how they were told apart.

    Every fifth image of each class is for testing. Of images in groups, whole groups are.

    Raises:
        UsageError: as `every_fifth` and `groups.held_out` do.
    """
    labels = [0] * len(source) if source.labels is None else list(source.labels)
    if source.groups is None:
        train, test = every_fifth(labels, name)
        how = "every fifth image held out for testing" if source.labels is None else HELD_OUT + untested(labels, test)
    else:
        train, test, how = groups.held_out(labels, source.groups, name)
    return Subset(source, train), Subset(source, test), how


def untested(labels: Sequence[int], test: Sequence[int]) -> str:
    """What is to be said of classes that have too few images for any to be tested, after how those were told apart."""
    classes, missed = len(set(labels)), len(set(labels) - {labels[number] for number in test})
    return f"; of {classes} classes, {missed} with fewer than five images cannot be tested" if missed else ""


def every_fifth(labels: Sequence[int], name: str) -> tuple[list[int], list[int]]:
    """The numbers of the images to train on, and of every fifth one of each class, in their order, to test on.

    Raises:
        UsageError: if no class has five, or of several classes only one; ``name`` is what has the labels.
    """
    seen: dict[int, int] = {}
    train: list[int] = []
    test: list[int] = []
    for number, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        (test if seen[label] % 5 == 0 else train).append(number)
    if len({labels[number] for number in test}) < min(2, len(seen)):
        which = "only one class" if test else "no class"
        raise UsageError(
            f"{which} in {name} has five images or more, too few to hold some out for testing: name a test part (a "
            "folder test, a column split, or test= of features)"
        )
    return train, test


def hold_out(labels: Tensor, seed: int) -> tuple[Tensor, Tensor] | None:
    """The numbers of the training images to learn from, and of those that are held out to choose by.

    A tenth of each class is held out, of fewer than 5,000 images a fifth; of a class that has too few images for that,
    none. None if fewer than two of several classes have enough.
    """
    every = 10 if len(labels) >= 5000 else 5
    order = torch.randperm(len(labels), generator=rng.generator(seed, "hold out"))
    rank = _rank_in_class(labels[order])
    held = rank % every == every - 1
    if len(labels[order[held]].unique()) < min(2, len(labels.unique())):
        return None
    return order[~held].sort().values, order[held].sort().values


def hold_out_groups(groups: Tensor, seed: int) -> tuple[Tensor, Tensor] | None:
    """`hold_out` for rows that belong together, as the pixels of an image: a group [N] is held out as a whole."""
    names, number = groups.unique(return_inverse=True)
    found = hold_out(torch.zeros_like(names), seed)
    if found is None:
        return None
    held = torch.zeros(len(names), dtype=torch.bool)
    held[found[1]] = True
    return (~held[number]).nonzero()[:, 0], held[number].nonzero()[:, 0]


def draw(labels: Tensor, quota: Tensor, total: int, generator: torch.Generator) -> Tensor:
    """The numbers of ``total`` random images: ``quota`` [K] of each class, in the order of the labels, and then any."""
    order = torch.randperm(len(labels), generator=generator)
    numbers = labels.unique(return_inverse=True)[1][order]
    wanted = _rank_in_class(numbers) < quota[numbers]
    return torch.cat([order[wanted], order[~wanted]])[:total]


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many images of the same label come before each: [N]."""
    order = labels.argsort(stable=True)
    counts = labels.unique(return_counts=True)[1]
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(labels)) - first)
