"""The part of a source's images that a limit on their number leaves, and that of which the classes are known."""

from collections.abc import Mapping

import numpy as np
import torch

from twofold import rng
from twofold.data.compact import Numbers
from twofold.data.sources import Source, Subset, number


def balanced(source: Source, count: int) -> Subset:
    """A random sample of ``count`` images, always the same ones whatever the seed of a run, in the source's order.

    Where labels are known without reading images, each class gives as many images as every other one, or all that it
    has. The sample of a smaller ``count`` is a part of that of a larger one.
    """
    order = rng.Permutation(len(source), 0, ("limit",))(torch.arange(len(source)))
    labels = source.labels_at_hand
    if labels is not None:
        of_each = torch.as_tensor(np.asarray(labels, np.int64))[order]
        by_class = of_each.argsort(stable=True)
        first = torch.searchsorted(of_each[by_class], of_each[by_class])  # where each one's class begins
        before = torch.empty_like(order)  # how many of its class come earlier in the random order
        before[by_class] = torch.arange(len(order)) - first
        order = order[before.argsort(stable=True)]
    return Subset(source, order[:count].sort().values.tolist())


def known(source: Source) -> Source:
    """The images whose class is known, with it as their label, where others have none; else the source itself."""
    if source.labels is not None:
        return source
    names = ((place, source.class_name(place)) for place in range(len(source)))
    told = {place: name for place, name in names if name is not None}
    return _Known(source, told) if told else source


class _Known(Subset):
    """The images of another source that have one of these classes."""

    def __init__(self, source: Source, classes: Mapping[int, str]) -> None:
        super().__init__(source, classes)
        labels, self.classes = number(list(classes.values()))
        self.labels = Numbers(labels)
