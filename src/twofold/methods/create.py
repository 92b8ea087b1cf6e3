"""Methods for anyone's loop: by name or as a class, on any backbone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from twofold import rng
from twofold.errors import UsageError
from twofold.methods.base import Method, Setup
from twofold.nets.backbone import SMALL, describe, features_of, stem_for
from twofold.nets.chunks import set_chunk
from twofold.recipe import recipe
from twofold.recipe.declared import methods, name_of, spec
from twofold.recipe.general import Recipe
from twofold.recipe.resolve import resolve
from twofold.recipe.settings import defaults_of


def list_methods() -> list[str]:
    """The names of all methods: twofold's own by family, then those that other packages offer as entry points."""
    return list(methods())


def create_method(
    method: str | type[Method],
    backbone: str | nn.Module = "resnet18",
    size: int = 224,
    *,
    images: int | None = None,
    steps: int | None = None,
    batch_size: int = 256,
    channels: int = 3,
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    seed: int = 0,
    chunk: int | None = None,
    **settings: Any,
) -> Method:
    """A method as a module in training mode, ready for a loop of one's own.

    Args:
        method: a name that `list_methods` has, ``package.module:Class``, or a subclass of `Method`, which may be
            defined in a notebook.
        backbone: a timm name, ``package.module:function``, or a module that maps images [N, C, size, size] to features
            [N, D]; a module is taken as it is, not copied.
        size: a full-size view's side in pixels. Up to 40 a ResNet gets a small stem; from 128 on the method's defaults
            are those published for photographs.
        images: how many images the data have; memories are no longer than that. PIRL's memory bank needs it, with the
            images' numbers in every batch (``views(images, index=numbers)``); without it PIRL compares with the other
            images of the batch.
        steps: how many steps the whole run has, if that is known: in a short one momentum encoders are faster and
            MoCo's queue is shorter, as `pretrain` chooses them.
        batch_size: how many images a step has, over all processes; only the rules that choose settings use it.
        channels: how many channels an image has.
        mean: the mean of each channel that views are normalised by, for images from 0 to 1; a teacher has its own.
        std: the standard deviation of each channel, likewise.
        seed: decides the first weights of the method's own networks, and of a backbone that is built here.
        chunk: how many images pass through the backbone at a time, to save memory (`twofold.nets.chunks`); None: all.
        **settings: the method's options by their names (see `twofold methods NAME`), and ``stem``, ``pool`` and
            ``backbone_arguments`` of the backbone.

    Raises:
        UsageError: for a method, a backbone or an option that does not exist, or that do not go together.
    """
    for what, count in (("images", images), ("steps", steps)):
        if count is not None and count < 1:
            raise UsageError(f"{what} must be at least 1, not {count}")
    name = method if isinstance(method, str) else name_of(method)
    asked = recipe.wanted(name, **settings, image_size=size, batch_size=batch_size, seed=seed, chunk=chunk)
    stray = [key for key in settings if key not in defaults_of(asked.spec.options) and key not in BACKBONE]
    if stray:
        raise UsageError(f"{stray[0]} is no option of {asked.method}; it belongs to Views, the optimizer or the loop")
    resolved, _ = resolve(asked, images, _Open(channels), steps)
    resolved = replace(resolved, mean=tuple(mean), std=tuple(std))
    if not isinstance(backbone, str | nn.Module):
        kind = getattr(backbone, "__name__", type(backbone).__name__)
        raise UsageError(
            f"backbone must be a name or a torch.nn.Module, not {kind} (a class or function is called first)"
        )
    if isinstance(backbone, str):
        stem = asked.get("stem") or stem_for(backbone, size)
        described, _ = describe(backbone, resolved.backbone_arguments, stem, size, resolved.pool, channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.fold(seed, "init"))
            backbone = described.build()
    features = features_of(backbone, size, channels)
    setup = Setup(
        features=features, images=images, size=size, seed=seed, channels=channels, mean=tuple(mean), std=tuple(std)
    )
    return build_method(resolved, backbone, setup).train()


BACKBONE = ("stem", "pool", "backbone_arguments")


def build_method(resolved: Recipe, backbone: nn.Module, setup: Setup) -> Method:
    """The method of a recipe on a backbone, with its first weights, a function of the seed.

    Raises:
        UsageError: if the class that the recipe names is no method, or its parts do not go together.
    """
    kind = spec(resolved.method).load()
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise UsageError(f"{resolved.method} is no method: it must be a class derived from twofold.Method")
    if missing := ", ".join(sorted(getattr(kind, "__abstractmethods__", ()))):
        raise UsageError(f"{resolved.method} lacks what every method must have: {missing}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.fold(setup.seed, "heads"))
        make: Callable[..., Method] = kind
        method = make(backbone, setup, resolved.options)
    set_chunk(method, resolved.chunk or None)
    method.recipe = resolved
    return method


class _Open:
    """What rules would ask of images and machine that a loop of one's own has and a method does not need."""

    natural_size, depth, grey, mirrored_alike = SMALL, "uint8", False, True
    interpolation = "bicubic"
    statistics = ((), ())
    precision = "fp32"

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def fits_in_memory(self, batch_size: int) -> bool:
        return True

    def stem(self, settings: dict[str, Any]) -> str:
        return "default"

    def patch_size(self, settings: dict[str, Any]) -> int:
        return 1
