"""What encoders make of images: of each one whole, and of several distorted views of it."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from twofold import rng
from twofold.augment.distortion import named
from twofold.augment.pipeline import pipelines
from twofold.data.crop import crop_one, stacked
from twofold.data.sources import Source, Subset
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.encoding.progress import Tell
from twofold.errors import UsageError
from twofold.nets.normalize import unit
from twofold.recipe.augment import Augment

VIEWS = 5
"""of each image, for LiDAR and the alignment"""
BATCH = 100
"""images whose views go through the networks at once"""


def encoded(
    source: Source, size: int, encoders: Mapping[str, Encoder], augment: Augment, seed: int, tell: Tell
) -> dict[str, tuple[Tensor, Tensor]]:
    """By encoder: the features of each readable image, whole [n, d], and of `VIEWS` distorted views [n, VIEWS, d].

    Raises:
        UsageError: if fewer than two images can be read.
    """
    spec = next(iter(encoders.values())).spec
    whole = extract(source, size, encoders, tell, interpolation=spec.interpolation)
    readable = Subset(source, next(iter(whole.values())).index)
    if len(readable) < 2:
        raise UsageError("one image is too few to measure anything on: at least 2 must be readable")
    views: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for done, pixels in distorted(readable, size, augment, seed, spec.std):
        for name, encoder in encoders.items():
            views[name].append(encoder(pixels.flatten(0, 1)).cpu().unflatten(0, (-1, VIEWS)))
        tell("distorted views", done, len(readable))
    return {name: (whole[name].values, torch.cat(views[name])) for name in encoders}


def distorted(
    source: Source, size: int, augment: Augment, seed: int, std: Sequence[float]
) -> Iterator[tuple[int, Tensor]]:
    """`VIEWS` views of each image, a batch at a time: how many are done, and images [n, VIEWS, C, size, size].

    They are uint8 where the source's are, else floats. ``std``: of each channel.
    """
    kinds = pipelines(augment, size, own=named(augment.distortions), std=std)[:2]
    for start in range(0, len(source), BATCH):
        numbers = range(start, min(start + BATCH, len(source)))
        images = [source.image(number) for number in numbers]
        sizes = torch.tensor([image.shape[1:] for image in images])
        views = []
        for number in range(VIEWS):
            view = kinds[number % 2]
            draws = view.draw(rng.Streams(seed, ("diagnose", number, start)), len(images))
            crops = [
                crop_one(image, box, bool(flip), view.size, view.augment.interpolation)
                for image, box, flip in zip(images, view.boxes(draws, sizes).tolist(), draws.flip, strict=True)
            ]
            cropped = stacked(crops)
            seen = view.distort(unit(cropped), draws)
            views.append((seen * 255).round().clamp(0, 255).byte() if cropped.dtype == torch.uint8 else seen)
        yield numbers[-1] + 1, torch.stack(views, 1)
