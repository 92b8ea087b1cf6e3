"""From crops to the batch that a method gets, and which rows of it are whose."""

from collections.abc import Sequence

import torch

from twofold import device, dist
from twofold.batch import Batch, Chance
from twofold.data.plan import Crops, MicroBatch
from twofold.methods.base import Method
from twofold.methods.views import views_for
from twofold.recipe.general import Recipe


class Preparation:
    """From crops to the batch that a method gets: distorted, normalised, masked."""

    def __init__(self, settings: Recipe, method: Method, batch: int, on: torch.device, dtype: torch.dtype) -> None:
        """
        Raises:
            UsageError: for views that this method or its backbone cannot take.
        """
        self.views = views_for(settings, method, dtype)
        self.batch, self.share = batch, batch // settings.accumulate
        self.on, self.dtype, self.layout = on, dtype, device.layout(method, on)

    def __call__(self, part: Crops) -> Batch:
        step, rows = part.place.step, part.place.rows
        place = torch.empty(0, device=self.on)
        chance = Chance(self.views.seed, step, self.batch, rows, rows.start // self.share, place)
        batch = self.views.finish(part.crops, part.draws, part.index, chance)
        laid = (view._replace(images=view.images.to(memory_format=self.layout)) for view in batch.views)
        return batch._replace(views=tuple(laid))


class MicroBatches(Sequence[MicroBatch]):
    """This process's rows of every part of every step, in the order of computation.

    A part is a slice of the step's batch and every process has a slice of it, so that the rows gathered over the
    processes are those of the part, in order.
    """

    def __init__(self, steps: range, batch: int, accumulate: int) -> None:
        self.steps, self.size, self.accumulate = steps, batch // accumulate, accumulate

    def __len__(self) -> int:
        return len(self.steps) * self.accumulate

    def __getitem__(self, number: int) -> MicroBatch:  # type: ignore[override]
        place, part = divmod(number, self.accumulate)
        mine = self.size // dist.world()
        first = part * self.size + dist.rank() * mine
        return MicroBatch(self.steps[place], slice(first, first + mine))  # IndexError past the end
