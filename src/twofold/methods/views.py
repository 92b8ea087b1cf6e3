"""The views that a method is given, as its recipe has them."""

import dataclasses
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer

from twofold.augment.views import Views, augmentation
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.nets.vit import patch_size
from twofold.recipe.declared import spec
from twofold.recipe.general import Recipe


def create_views(method: Method, *, dtype: torch.dtype = torch.float32, **settings: Any) -> Views:
    """The views that a method's recipe gives it: how many, and its own crops, colours, blur, small crops and masks::

        method = twofold.create_method("dino", "resnet18", size=96)
        views = twofold.create_views(method)            # `Views(96)` alone has the defaults that all methods share
        output = method(views(images), progress=step / steps)

    Args:
        method: what `twofold.create_method` has made; size, mean, deviation and seed of the views are its own.
        dtype: the type of the views' numbers.
        **settings: other values for any of `twofold.recipe.augment.Augment`, such as ``flip`` or ``small_crops``.

    Raises:
        UsageError: for a method that `create_method` has not made, a setting that does not exist or does not fit, and
            for small, masked or turned views that the method or its backbone cannot take.
    """
    recipe: Recipe | None = getattr(method, "recipe", None)
    if recipe is None:
        raise UsageError(
            "only what twofold.create_method has made has a recipe; give it before it is wrapped, or use twofold.Views"
        )
    augment = augmentation({**dataclasses.asdict(recipe.augment), **settings}, recipe.channels)
    return views_for(dataclasses.replace(recipe, augment=augment), method, dtype)


def views_for(settings: Recipe, method: Method, dtype: torch.dtype = torch.float32) -> Views:
    """The views that a resolved recipe makes for its method.

    Raises:
        UsageError: for small, masked or turned views that this method or its backbone cannot take.
    """
    if settings.augment.small_crops and not method.MULTI_CROP:
        raise UsageError(f"{settings.method} has no use for small crops: set --small-crops 0")
    if settings.augment.turn and not method.TURNED:
        raise UsageError(f"{settings.method} learns which way images are turned: set --turn 0")
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
