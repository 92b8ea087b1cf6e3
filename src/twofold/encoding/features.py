"""`twofold.features`: what any backbone makes of any images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor, nn

from twofold.data.crop import stacked
from twofold.data.opening import DataLike, open_data
from twofold.data.sources import Source
from twofold.encoding.backbones import open_backbone, run_of
from twofold.encoding.crops import BATCH, Crop, cut, read_ahead
from twofold.encoding.dense import Grid, centres, patchwise
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.run import Run


class Patches(NamedTuple):
    """The features of the patches of N images.

    Attributes:
        vectors: float32 [N, h * w, D], a vector for each patch, row by row of the grid.
        grid: how many rows and columns of patches an image has, (h, w).
        centres: float32 [N, h * w, 2], the patches' centres x, y in pixels of the upright image, from its left and
            upper edge, so that 0.5 is the first pixel's centre; the central crop and its resizing are undone.
    """

    vectors: Tensor
    grid: Grid
    centres: Tensor

    @property
    def maps(self) -> Tensor:
        """The vectors as maps, [N, h, w, D]."""
        return self.vectors.reshape(len(self.vectors), *self.grid, -1)


@overload
def features(
    backbone: str | Path | Run | nn.Module,
    images: DataLike,
    *,
    patches: Literal[False] = False,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    batch_size: int = BATCH,
    tell: Tell = silent,
) -> Tensor: ...
@overload
def features(
    backbone: str | Path | Run | nn.Module,
    images: DataLike,
    *,
    patches: Literal[True],
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    batch_size: int = BATCH,
    tell: Tell = silent,
) -> Patches: ...
def features(
    backbone: str | Path | Run | nn.Module,
    images: DataLike,
    *,
    patches: bool = False,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    batch_size: int = BATCH,
    tell: Tell = silent,
) -> Tensor | Patches:
    """Frozen features of images: float32 [N, D] on the CPU, a row an image, in the order of the images.

    Each image is cropped centrally to a square (of a photograph 7/8 of its shorter side, of an image up to 64 pixels
    all of it), resized, normalised, and goes through the backbone in eval mode, without gradients. A network that is
    given is left in the mode that it was in.

    Args:
        backbone: a run or its directory; the name of a timm model, which comes with the weights published for it; or a
            network, images [N, C, H, W] -> features [N, D], C 3 unless ``mean`` has another number of values.
        images: whatever `open_data` takes: an array or tensor [N, C, H, W], a folder, a list of PIL images, a
            Dataset, ... If there is a training and a test part, the training images come first.
        patches: give the features of each patch instead of one vector an image: what the backbone's pooling gets, the
            last map of a convolutional network, the patches' tokens of a transformer (`encoding.dense`).
        size: side in pixels of the images that the backbone gets. By default a run's own; what a timm model's
            ``pretrained_cfg`` says; else 224.
        mean: the mean of each channel, for images from 0 to 1. By default the run's; the ``pretrained_cfg``'s; else
            ImageNet's.
        std: the standard deviation of each channel, likewise.
        device: cpu, cuda or mps; None: a network that is given stays where it is, and one that is loaded goes to a GPU
            if there is one.
        batch_size: images that are decoded together; large ones go through the backbone in smaller parts.
        tell: a function that is told what is being done, how much of it is done, and how much there is.

    Returns:
        The features [N, D]; with ``patches`` those of the patches [N, h * w, D], their grid and their centres.

    Raises:
        UsageError: if there is no such backbone or data, the backbone does not take images of that size or has no map
            of patches, or an image cannot be read: the message names it. (`twofold.embed` leaves such images out.)
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    encoder = open_backbone(backbone, size=size, mean=mean, std=std, device=device)
    dense = patchwise(encoder) if patches else None
    run = run_of(backbone)
    data = open_data(images).of_kind(encoder.spec.channels, run.depth if run else None)
    sources = [data.train] if data.test is None else [data.train, data.test]
    total, found, places = sum(map(len, sources)), list[Tensor](), list[np.ndarray]()
    for source in sources:
        ranges, spec = cut(range(len(source)), batch_size), encoder.spec
        for batch in read_ahead(source, spec.size, ranges, spec.interpolation):
            crops = [_readable(source, number, crop) for number, crop in batch]
            pixels = stacked([crop.pixels for crop in crops])
            if dense is None:
                found.append(encoder(pixels).cpu())
            else:
                found.append(dense.encode(pixels).flatten(1, 2).cpu())
                places += [centres(crop.box, dense.grid) for crop in crops]
            tell("images", sum(map(len, found)), total)
    values = torch.cat(found)
    return values if dense is None else Patches(values, dense.grid, torch.from_numpy(np.stack(places)))


def _readable(source: Source, number: int, crop: Crop | str) -> Crop:
    if isinstance(crop, str):
        raise UsageError(f"{source.name(number)} cannot be read: {crop} (twofold.embed leaves such images out)")
    return crop
