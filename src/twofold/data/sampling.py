"""The part of a source's images that a limit on their number leaves."""

import torch

from twofold import rng
from twofold.data.sources import Source, Subset


def balanced(source: Source, count: int) -> Subset:
    """A random sample of ``count`` images, always the same ones whatever the seed of a run, in the source's order.

    Where labels are known without reading images, each class gives as many images as every other one, or all that it
    has. The sample of a smaller ``count`` is a part of that of a larger one.
    """
    order = torch.randperm(len(source), generator=rng.generator(0, "limit"))
    labels = source.labels_at_hand
    if labels is not None:
        seen: dict[int, int] = {}
        before = torch.empty(len(order), dtype=torch.long)  # how many of its class come earlier in the random order
        for place, index in enumerate(order.tolist()):
            label = int(labels[index])
            before[place] = seen.get(label, 0)
            seen[label] = seen.get(label, 0) + 1
        order = order[before.argsort(stable=True)]
    return Subset(source, sorted(order[:count].tolist()))
