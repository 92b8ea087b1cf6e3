"""From crops to the batch that a method gets, and which rows of it are whose."""

from collections.abc import Sequence

import torch

from twofold import device, dist
from twofold.augment import views_of
from twofold.augment.masks import Masking
from twofold.batch import Batch, Chance
from twofold.data.loader import Crops, MicroBatch
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.nets.normalize import Normalize
from twofold.nets.vit import patch_size
from twofold.recipe.recipe import Recipe


class Preparation:
    """From crops to the batch that a method gets: distorted, normalised, masked."""

    def __init__(self, settings: Recipe, method: Method, batch: int, on: torch.device, dtype: torch.dtype) -> None:
        """
        Raises:
            UsageError: for small or masked views that this method or its backbone cannot take.
        """
        if settings.augment.small_crops and not method.MULTI_CROP:
            raise UsageError(f"{settings.method} has no use for small crops: set --small-crops 0")
        first, second = settings.augment.mask
        if max(first, second) > 0 and method.MASK == "refused":
            raise UsageError(f"{settings.method} has no use for masked views: set --mask 0 0")
        if second > 0 and method.VIEWS == 1:
            raise UsageError(f"{settings.method} has one view: set --mask {first:g} 0")
        patches = (settings.image_size // patch_size(method.backbone)) ** 2
        if method.MASK == "needed" and (round(first * patches) == 0 or settings.augment.mask_fill):
            raise UsageError(f"{settings.method} needs a masked view: set --mask 0.6 0 --mask-fill false")
        self.views = views_of(settings.augment, settings.image_size, method.VIEWS)
        self.masking = Masking.of(settings.augment, method.backbone)
        self.normalize = Normalize(settings.mean, settings.std).to(on)
        self.seed, self.batch, self.share = settings.seed, batch, batch // settings.accumulate
        self.on, self.dtype, self.layout = on, dtype, device.layout(method, on)

    def __call__(self, part: Crops) -> Batch:
        place = part.place
        chance = Chance(self.seed, place.step, self.batch, place.rows, place.rows.start // self.share, self.on)
        views = []
        for number, (view, crops, draws) in enumerate(zip(self.views, part.crops, part.draws, strict=True)):
            normalised = self.normalize(view.distort(crops, draws))
            views.append(self.masking(normalised.to(self.dtype, memory_format=self.layout), number, chance))
        return Batch(tuple(views), part.index.to(self.on), chance)


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
