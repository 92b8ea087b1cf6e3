"""The networks of a recipe, with their first weights."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from twofold import rng
from twofold.methods import create
from twofold.methods.base import Method, Setup
from twofold.nets.backbone import BackboneSpec, describe, features_of
from twofold.nets.layers import freeze, keep_statistics
from twofold.recipe.general import Recipe


def fresh_backbone(spec: BackboneSpec, seed: int) -> nn.Module:
    """The backbone with the first weights that a seed stands for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.fold(seed, "init"))
        return spec.build()


def backbone_spec(settings: Recipe) -> BackboneSpec:
    """The description of a recipe's backbone, its features not counted yet. Nothing is built."""
    s = settings
    spec, _ = describe(s.backbone, s.backbone_arguments, s.stem, s.image_size, s.pool, s.channels)
    return replace(spec, mean=s.mean, std=s.std, interpolation=s.augment.interpolation)


def build_method(
    settings: Recipe, spec: BackboneSpec, images: int, backbone: nn.Module | None = None, kept: Path | None = None
) -> Method:
    """The method of a recipe for so many images, with its first weights, a function of the seed.

    Args:
        backbone: by default one is built, with the first weights that the seed stands for.
        kept: the directory of a run that has begun, where the method finds again what it was given.

    Raises:
        UsageError: if the backbone does not take views of the recipe's sizes, or does not go with the method.
    """
    if backbone is None:
        backbone = fresh_backbone(spec, settings.seed)
    freeze(backbone, settings.freeze)
    if settings.keep_statistics:
        keep_statistics(backbone)
    channels = settings.channels
    features = features_of(backbone, settings.image_size, channels)
    if settings.augment.small_crops:
        features_of(backbone, settings.augment.small_size, channels)
    s = settings
    setup = Setup(
        features=features,
        images=images,
        size=s.image_size,
        seed=s.seed,
        channels=channels,
        mean=s.mean,
        std=s.std,
        kept=kept,
    )
    return create.build_method(settings, backbone, setup)
