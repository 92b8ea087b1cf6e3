"""What a recipe leaves open, chosen from the data and the machine, and recorded in the run directory."""

import dataclasses
from pathlib import Path

import torch

from twofold import device, methods
from twofold.data.inspection import Inspection
from twofold.errors import UsageError
from twofold.nets import backbone
from twofold.nets.backbone import SMALL, BackboneSpec
from twofold.nets.vit import patch_size
from twofold.recipe import recipe, toml
from twofold.recipe.recipe import Recipe
from twofold.recipe.settings import show as text

CHANNELS = 3
LARGE = 128  # side of a view from which methods' defaults are those for photographs
FRESH = 100  # a queue holds at most this share, one hundredth, of all keys of a run: the encoder moves on
LOOKS = 100  # at the embeddings, in a run
MEMORY = 20  # a momentum encoder looks back at most this share, one twentieth, of a run: 1 / (1 - momentum) steps


def resolve(
    wanted: Recipe, inspection: Inspection, directory: Path, on: torch.device, begun: bool
) -> tuple[Recipe, list[str]]:
    """The recipe with nothing left open, and what was chosen, in words.

    ``inspection``: of its images.
    If the run in ``directory`` has ``begun``, its recipe is taken; without a checkpoint there is nothing to fit.

    Raises:
        UsageError: if that run was made by another recipe; the message shows the difference.
    """
    images = len(inspection.source)
    if begun:
        old = recipe.make(**toml.read(directory / "recipe.toml"))
        changes = recipe.difference(old, follow(wanted, old.image_size, images)[0])
        if changes:
            raise UsageError(f"{directory} holds another run ({'; '.join(changes)}): choose another --out")
        now = {name: getattr(wanted, name) for name in recipe.OPERATIONAL}
        return recipe.replace(old, **now), []
    for name, value in (("mean", wanted.mean), ("std", wanted.std)):
        if value and len(value) != CHANNELS:
            raise UsageError(f"{name} must be {CHANNELS} values, one a channel, not {len(value)}")
    chosen: dict[str, object] = {}
    resident = wanted.resident == "yes"
    if wanted.resident == "auto":
        resident = inspection.fits_in_memory(wanted.batch_size)
        chosen["resident"] = "yes" if resident else "no"
    if resident:
        inspection.decode()  # before anything is measured, so that no image is opened twice
    size = wanted.image_size or natural_size(inspection.longest_side)
    wanted, said = follow(wanted, size, images)
    chosen["image_size"] = size
    if wanted.precision == "auto":
        chosen["precision"] = device.good_precision(on)
    if not (wanted.mean and wanted.std):
        mean, std = inspection.statistics
        chosen["mean"], chosen["std"] = wanted.mean or mean, wanted.std or std
    if wanted.knn_every == 0:
        chosen["knn_every"] = max(1, wanted.epochs // 20)
    if wanted.measure_every == 0:
        chosen["measure_every"] = max(1, steps_of(wanted, images) // LOOKS)
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


def small_view(size: int, patch: int) -> int:
    """Three sevenths of the full size, as 96 is of 224, in whole patches; without patches a multiple of 4."""
    unit = patch if patch > 1 else 4
    return max(unit, round(size * 3 / 7 / unit) * unit)


def natural_size(longest: int) -> int:
    """Of images whose longest side is known: that side if it is 64 pixels or less, else (or if it is 0) 224."""
    return longest if 0 < longest <= SMALL else 224
