"""What a recipe leaves open, chosen from the data and the machine, and recorded in the run directory."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from twofold import device, methods
from twofold.augment.views import small_view
from twofold.data.decode import Unreadable
from twofold.data.loader import fits_in_memory, sample, sizes_of
from twofold.data.sources import Source
from twofold.errors import UsageError
from twofold.nets import backbone
from twofold.nets.backbone import SMALL, BackboneSpec
from twofold.nets.vit import patch_size
from twofold.recipe import recipe, toml
from twofold.recipe.recipe import Recipe
from twofold.recipe.settings import show as text

CHANNELS = 3
SAMPLE = 500  # images that size, mean and deviation are measured on
LARGE = 128  # side of a view from which methods' defaults are those for photographs
FRESH = 100  # a queue holds at most this share, one hundredth, of all keys of a run: the encoder moves on
LOOKS = 100  # at the embeddings, in a run
MEMORY = 20  # a momentum encoder looks back at most this share, one twentieth, of a run: 1 / (1 - momentum) steps


def resolve(
    wanted: Recipe, source: Source, directory: Path, on: torch.device, threads: int, begun: bool
) -> tuple[Recipe, list[str]]:
    """The recipe with nothing left open, and what was chosen, in words.

    If the run in ``directory`` has ``begun``, its recipe is taken; without a checkpoint there is nothing to fit.

    Raises:
        UsageError: if that run was made by another recipe; the message shows the difference.
    """
    if begun:
        old = recipe.make(**toml.read(directory / "recipe.toml"))
        changes = recipe.difference(old, follow(wanted, old.image_size, len(source))[0])
        if changes:
            raise UsageError(f"{directory} holds another run ({'; '.join(changes)}): choose another --out")
        now = {name: getattr(wanted, name) for name in recipe.OPERATIONAL}
        return recipe.replace(old, **now), []
    size = wanted.image_size or natural_size(source, threads)
    wanted, said = follow(wanted, size, len(source))
    chosen: dict[str, object] = {"image_size": size}
    if wanted.precision == "auto":
        chosen["precision"] = device.good_precision(on)
    if wanted.resident == "auto":
        chosen["resident"] = "yes" if fits_in_memory(source, wanted.batch_size, threads) else "no"
    for name, value in (("mean", wanted.mean), ("std", wanted.std)):
        if value and len(value) != CHANNELS:
            raise UsageError(f"{name} must be {CHANNELS} values, one a channel, not {len(value)}")
    if not (wanted.mean and wanted.std):
        mean, std = channel_statistics(source)
        chosen["mean"], chosen["std"] = wanted.mean or mean, wanted.std or std
    if wanted.knn_every == 0:
        chosen["knn_every"] = max(1, wanted.epochs // 20)
    if wanted.measure_every == 0:
        chosen["measure_every"] = max(1, steps_of(wanted, len(source)) // LOOKS)
    small = 0
    if wanted.augment.small_crops:
        fitted, _ = backbone.fit(wanted.backbone, wanted.backbone_arguments, wanted.stem, size, 0, wanted.pool)
        chosen["small_size"] = small = wanted.augment.small_size or small_view(size, patch_size(fitted.build()))
    fitted, more = backbone.fit(wanted.backbone, wanted.backbone_arguments, wanted.stem, size, small, wanted.pool)
    chosen["stem"] = fitted.stem
    return recipe.replace(wanted, **chosen), said + more


def follow(wanted: Recipe, size: int, images: int) -> tuple[Recipe, list[str]]:
    """The recipe with what was not given fitted to views of ``size`` pixels, to so many images and to the run's steps.

    From `LARGE` pixels on a method's defaults are those published for photographs. A queue is never longer than
    the data, given or not.
    """
    said: list[str] = []
    steps = steps_of(wanted, images)

    def take(values: dict[str, object], reason: str) -> None:
        nonlocal wanted
        old = recipe.settings_of(wanted)
        changed = {name: value for name, value in values.items() if value != old[name]}
        if changed:
            wanted = dataclasses.replace(recipe.replace(wanted, **changed), given=wanted.given)
            said.append(f"{reason}: {', '.join(f'{n} {text(v)}, not {text(old[n])}' for n, v in changed.items())}")

    if size >= LARGE:
        large = methods.spec(wanted.method).large
        take({n: v for n, v in large.items() if n not in wanted.given}, f"views of {size} pixels")
    options = dataclasses.asdict(wanted.options)
    free = {name: options[name] for name in recipe.FOLLOWING if name in options and name not in wanted.given}
    recent = max(wanted.batch_size, 2 * wanted.epochs * images // FRESH)
    most = {"queue": min(images * 2 // 3, recent), "negatives": images, "prototypes": max(2, images // 10)}
    take({n: min(v, most[n]) for n, v in free.items() if n in most}, f"{images} images")
    held = {n: options[n] for n in ("queue", "memory") if n in options}
    take({n: images for n, v in held.items() if v > images and n not in free}, f"{images} images")
    if "momentum" in free:
        slowest = max(0.0, round(1 - MEMORY / steps, 4))
        start, end = free["momentum"]
        take({"momentum": (min(start, slowest), end if end == 1 else min(end, slowest))}, f"a run of {steps} steps")
    return wanted, said


def steps_of(settings: Recipe, images: int) -> int:
    """About how many steps the run has; exactly, if all images can be read."""
    return settings.epochs * max(1, images // min(settings.batch_size, max(1, images)))


def backbone_spec(settings: Recipe) -> BackboneSpec:
    """The backbone's description of a resolved recipe."""
    small = settings.augment.small_size if settings.augment.small_crops else 0
    s = settings
    spec, _ = backbone.fit(s.backbone, s.backbone_arguments, s.stem, s.image_size, small, s.pool)
    return BackboneSpec(**{**spec.json(), "mean": settings.mean, "std": settings.std})


def natural_size(source: Source, threads: int) -> int:
    """The longest side of the images if that is 64 pixels or less, else 224."""
    longest = max((max(size) for size in sizes_of(sample(source, SAMPLE), threads)), default=224)
    return longest if longest <= SMALL else 224


def channel_statistics(source: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel's pixels, 0 to 1, over a sample of images."""
    moments = []
    tried = sample(source, SAMPLE)
    for number in range(len(tried)):
        try:
            pixels = tried.image(number) / 255.0
        except Unreadable:
            continue
        moments.append([pixels.mean((1, 2)), np.square(pixels).mean((1, 2))])
    if not moments:
        raise UsageError(f"not one of {len(tried)} images tried can be read; twofold scan says why")
    mean, square = np.mean(moments, axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1e-6))
    return tuple(np.round(mean, 4).tolist()), tuple(np.round(np.maximum(std, 1e-3), 4).tolist())
