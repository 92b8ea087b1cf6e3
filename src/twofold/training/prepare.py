"""From crops to the batch that a method gets, and which rows of it are whose."""

import dataclasses
from collections.abc import Sequence

import torch
from timm.models.vision_transformer import VisionTransformer

from twofold import device, dist
from twofold.augment import Views
from twofold.batch import Batch, Chance
from twofold.data.plan import Crops, MicroBatch
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.nets.vit import patch_size
from twofold.recipe.declared import spec
from twofold.recipe.general import Recipe


def views_for(settings: Recipe, method: Method, dtype: torch.dtype = torch.float32) -> Views:
    """The views that a resolved recipe makes for its method.

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
    if settings.neighbours and not spec(settings.method).pairs_images:
        raise UsageError(f"{settings.method} compares an image with itself alone: set --neighbours 0")
    patches = (settings.image_size // patch_size(method.backbone)) ** 2
    if method.MASK == "needed" and (round(first * patches) == 0 or settings.augment.mask_fill):
        raise UsageError(f"{settings.method} needs a masked view: set --mask 0.6 0 --mask-fill false")
    drops = isinstance(method.backbone, VisionTransformer)
    if max(first, second) > 0 and not settings.augment.mask_fill and not drops:
        raise UsageError(
            "masking is for vision transformers, which drop the masked patches; a convolution would see artificial "
            f"edges around them ({type(method.backbone).__name__}); --mask-fill true fills them all the same"
        )
    return Views(
        settings.image_size,
        views=method.VIEWS,
        whole=method.whole,
        seed=settings.seed,
        mean=settings.mean,
        std=settings.std,
        patch_size=patch_size(method.backbone) if drops else None,
        dtype=dtype,
        **dataclasses.asdict(settings.augment),
    )


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
