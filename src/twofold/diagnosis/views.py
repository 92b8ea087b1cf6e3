"""What encoders make of images: of each one whole, and of several distorted views of it."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from twofold import rng
from twofold.augment.distortion import named
from twofold.augment.pipeline import pipelines
from twofold.data.loader import crop_one
from twofold.data.sources import Source, Subset
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.encoding.progress import Tell
from twofold.errors import UsageError
from twofold.recipe.recipe import Augment

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
    whole = extract(source, size, encoders, tell)
    readable = Subset(source, next(iter(whole.values())).index)
    if len(readable) < 2:
        raise UsageError("one image is too few to measure anything on: at least 2 must be readable")
    views: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for done, pixels in distorted(readable, size, augment, seed):
        for name, encoder in encoders.items():
            views[name].append(encoder(pixels.flatten(0, 1)).cpu().unflatten(0, (-1, VIEWS)))
        tell("distorted views", done, len(readable))
    return {name: (whole[name].values, torch.cat(views[name])) for name in encoders}


def distorted(source: Source, size: int, augment: Augment, seed: int) -> Iterator[tuple[int, Tensor]]:
    """`VIEWS` views of each image, a batch at a time: how many are done, and uint8 [n, VIEWS, C, size, size]."""
    kinds = pipelines(augment, size, own=named(augment.distortions))[:2]
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
            views.append((view.distort(torch.stack(crops) / 255, draws) * 255).round().byte())
        yield numbers[-1] + 1, torch.stack(views, 1)
