"""Which images form step s, and what is drawn for their crops, are a function of (seed, s) alone."""

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from twofold import rng
from twofold.augment import Views
from twofold.augment.pipeline import Draws, ViewPipeline
from twofold.data.sources import Source, Subset


@dataclass(frozen=True)
class Plan:
    """Which images form which step. Every epoch is a fresh permutation, cut into whole batches.

    ``neighbours``: for each image the numbers of others, int64 [images, k], one of which its second view shows; None:
    both views show the image itself.
    """

    images: int
    batch: int
    seed: int
    neighbours: Tensor | None = field(default=None, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch

    def indices(self, step: int) -> Tensor:
        """The images of one step, int64 [batch]."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return order(self.images, self.seed, epoch)(torch.arange(place * self.batch, (place + 1) * self.batch))

    def shown(self, part: "MicroBatch") -> tuple[Tensor, Tensor]:
        """The images of a part of a step, int64 [n], and those that their second views show."""
        index = self.indices(part.step)
        second = index
        if self.neighbours is not None:
            drawn = rng.generator(self.seed, "neighbour", part.step)
            second = self.neighbours[index, torch.randint(self.neighbours.shape[1], index.shape, generator=drawn)]
        return index[part.rows], second[part.rows]

    def brings_new(self, step: int) -> bool:
        """Whether a step has an image that no step before it has: all steps of the first epoch, and few after it."""
        epoch = step // self.steps_per_epoch
        if epoch == 0:
            return True
        unseen = _unseen(self.images, self.batch, self.seed, epoch)
        return len(unseen) > 0 and bool(torch.isin(self.indices(step), unseen).any())


def order(images: int, seed: int, epoch: int) -> rng.Permutation:
    """Which images an epoch shows, in which order."""
    return rng.Permutation(images, seed, ("order", epoch))


@lru_cache(maxsize=2)
def _unseen(images: int, batch: int, seed: int, epoch: int) -> Tensor:
    """The images that were left over in every epoch before this one, of which there is one at least."""
    rest = torch.arange(images // batch * batch, images)
    unseen = order(images, seed, 0)(rest)
    for earlier in range(1, epoch):
        if not len(unseen):
            break
        unseen = unseen[torch.isin(unseen, order(images, seed, earlier)(rest))]
    return unseen


@dataclass(frozen=True)
class MicroBatch:
    """The rows of a step's batch that one process computes at once."""

    step: int
    rows: slice


@dataclass
class Crops:
    """One part of a step: images' numbers and, for each view, crops as `unit` has them, on the device; draws."""

    place: MicroBatch
    index: Tensor
    crops: list[Tensor]
    draws: list[Draws]


def drawn(views: Views, plan: Plan, part: MicroBatch) -> list[tuple[ViewPipeline, Draws]]:
    """The views of a part of a step, and what is drawn for its rows.

    A whole view is always the same, so there is one only where the step has an image for the first time.
    """
    found = list(zip(views.pipelines, views.draw(part.step, plan.batch), strict=True))
    if views.whole and not plan.brings_new(part.step):
        found.pop()
    return [(view, draws.rows(part.rows)) for view, draws in found]


def sample(source: Source, most: int) -> Subset:
    """At most so many images, always the same ones, in an order that has nothing to do with the source's.

    A regular spacing would not do: where classes take turns it meets some of them only.
    """
    chosen = rng.Permutation(len(source), 0, ("sample",))(torch.arange(min(most, len(source))))
    return Subset(source, chosen.tolist())
