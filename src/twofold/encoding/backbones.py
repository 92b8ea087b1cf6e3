"""Backbones by what people have at hand: a run, a file of weights, the name of a timm model, a network of their own."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from twofold import device as devices
from twofold import dist
from twofold.data.decode import Unreadable
from twofold.data.kinds import FULL, PICTURE, Kind
from twofold.data.scan import LONG
from twofold.data.sources import Source
from twofold.encoding.crops import central_box
from twofold.encoding.encoder import Encoder
from twofold.errors import UsageError, did_you_mean, refuse
from twofold.nets.backbone import BackboneSpec, described, features_of
from twofold.nets.published import published_model
from twofold.nets.whole import whole_network
from twofold.run import Run

LOOKED_AT = 16
"""Of a source's images, at most so many say how bright and how long they are."""
FAR = 3
"""White pictures and black ones are 2.6 and 2.1 deviations from the mean of photographs."""


def open_backbone(
    what: str | Path | Run | nn.Module,
    *,
    backbone: str | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
) -> Encoder:
    """A backbone with the preparation of its input.

    Args:
        what: a run or its directory, or a folder in it that keeps a backbone (``start``, ``teacher``); a file of
            weights; the name of a timm model, which comes with the weights published for it; or a network, images
            [N, C, H, W] -> features [N, D], C 3 unless ``mean`` has another number of values.
        backbone: of a file of weights, the timm model that they are of.
        size: side in pixels of the images it gets. By default a run's own; what a timm model's ``pretrained_cfg`` says;
            else 224.
        mean: of each channel, for images from 0 to 1. By default the run's; the ``pretrained_cfg``'s; else ImageNet's.
        std: the standard deviation of each channel, likewise.
        device: cpu, cuda or mps; None: a network that is given stays where it is, and one that is loaded goes to a GPU
            if there is one.

    Raises:
        UsageError: if there is no such run, file, model or device, its weights cannot be had or leave some of it at
            random, or it does not give one vector an image of that size.
    """
    if size is not None and size < 1:
        raise UsageError(f"size must be at least 1 pixel, not {size}")
    with torch.random.fork_rng(devices=[]):  # weights may be drawn before others take their place
        network, spec = _opened(what, backbone, size, 3 if mean is None else len(mean))
    side = spec.size if size is None else size
    channels = spec.channels if mean is None else len(mean)
    spec = dataclasses.replace(
        spec,
        size=side,
        mean=spec.mean if mean is None else _numbers("mean", mean, channels),
        std=_numbers("std", spec.std if std is None else std, channels),
        features=features_of(network, side, channels),
        channels=channels,
    )
    stays = isinstance(what, nn.Module) and device is None
    return Encoder(network, spec, None if stays else devices.choose(device))


def unlike_pictures(what: str | Path | Run | nn.Module, source: Source) -> tuple[str, ...]:
    """What is said if images are no pictures of 8 bits, and are normalised as those that weights were learned from."""
    if isinstance(what, Run | nn.Module) or Path(what).is_dir():
        return ()
    try:
        kind = Kind.of(source.image(0))
    except Unreadable:
        return ()
    if kind.depth == PICTURE.depth:
        return ()
    return (
        f"images with {kind} get the mean and deviation of the pictures that the weights were learned from; if your "
        "images are darker or brighter than photographs, use pretrain --weights: it measures the images, and keeps the "
        "original weights in the run's folder start",
    )


def remarks(spec: BackboneSpec, source: Source) -> tuple[str, ...]:
    """What is said of images that a backbone hardly sees, or that are far from those that it learned from.

    Of several processes the first one looks at some images, and the others have nothing to say.
    """
    if dist.rank() > 0:
        return ()
    sizes, means = list[tuple[int, int]](), list[np.ndarray]()
    for number in np.unique(np.linspace(0, len(source) - 1, min(LOOKED_AT, len(source))).astype(int)).tolist():
        with suppress(Unreadable):
            image = source.image(number)
            sizes.append(image.shape[1:])
            means.append(image.mean((1, 2), dtype=np.float64) / FULL[Kind.of(image).depth])
    return (*_hardly_seen(sizes), *_of_another_scale(spec, np.mean(means, axis=0))) if means else ()


def _hardly_seen(sizes: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """What is said if most images are twice as long as wide, or more."""
    seen = [central_box(height, width)[2] ** 2 / (height * width) for height, width in sizes]
    long = [max(size) >= LONG * min(size) for size in sizes]
    if 2 * sum(long) <= len(sizes):
        return ()
    least = int(np.argmin(seen))
    height, width = sizes[least]
    return (
        f"the backbone sees the central square of an image, {100 * seen[least]:.0f} % of one of {width} x {height} "
        "pixels: cut long images into tiles if all of them counts",
    )


def _of_another_scale(spec: BackboneSpec, mean: np.ndarray) -> tuple[str, ...]:
    """What is said if images, whose channels have this mean, are far brighter or darker than the backbone's own."""
    if len(mean) != len(spec.mean):
        return ()
    away = (mean - spec.mean) / spec.std
    furthest = float(away[np.abs(away).argmax()])
    if abs(furthest) <= FAR:
        return ()
    than = "brighter" if furthest > 0 else "darker"
    return (
        f"in the mean these images are {abs(furthest):.0f} standard deviations {than} than those that the backbone "
        "learned from: are their numbers of the same scale?",
    )


def _numbers(name: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    numbers = tuple(map(float, values))
    if not numbers or len(numbers) != channels or (name == "std" and min(numbers) <= 0):
        above = " above 0" if name == "std" else ""
        count = f"{channels or 3} number{'s' * (channels != 1)}"
        raise UsageError(f"{name} must be {count}{above}, one for each channel, not {list(values)}")
    return numbers


def run_of(what: object) -> Run | None:
    """The run that is meant by a run or a directory; None for a folder that keeps a backbone alone, and anything else.

    Raises:
        UsageError: if there is a directory that is neither.
    """
    if isinstance(what, Run) or (isinstance(what, str | Path) and Path(what).is_dir()):
        run = Run.with_backbone(what)
        return run if (run.path / "recipe.toml").exists() else None
    return None


def _opened(
    what: str | Path | Run | nn.Module, backbone: str | None, size: int | None, channels: int
) -> tuple[nn.Module, BackboneSpec]:
    if not isinstance(what, Run | nn.Module) and Path(what).is_file():
        if backbone is None:
            raise UsageError(f"{what} holds weights: --backbone NAME says which of timm's models they are of")
        return whole_network(backbone, str(what), size, channels)
    refuse("anything but a file of weights", backbone=backbone)
    if isinstance(what, nn.Module):
        return what, described(what)
    if isinstance(what, Run) or Path(what).is_dir():
        run = Run.with_backbone(what)
        return run.backbone(), run.spec
    name = str(what)
    if not timm.is_model(name.split(".")[0]):
        hint = did_you_mean(name, timm.list_models())
        raise UsageError(f"there is no run, no file of weights and no timm model {name!r}{hint}")
    model = published_model(name)
    return model, described(model, name)
