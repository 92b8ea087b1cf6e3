"""`twofold.features`: what any backbone makes of any images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from twofold.data.loader import stacked
from twofold.data.opening import DataLike, open_data
from twofold.data.sources import Source
from twofold.encoding.backbones import open_backbone
from twofold.encoding.crops import BATCH, cut, read_ahead
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.run import Run


def features(
    backbone: str | Path | Run | nn.Module,
    images: DataLike,
    *,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    batch_size: int = BATCH,
    tell: Tell = silent,
) -> Tensor:
    """Frozen features of images: float32 [N, D] on the CPU, a row an image, in the order of the images.

    Each image is cropped centrally to a square (of a photograph 7/8 of its shorter side, of an image up to 64 pixels
    all of it), resized, normalised, and goes through the backbone in eval mode, without gradients. A network that is
    given is left in the mode that it was in.

    Args:
        backbone: a run or its directory; the name of a timm model, which comes with the weights published for it; or a
            network, images [N, C, H, W] -> features [N, D], C 3 unless ``mean`` has another number of values.
        images: whatever `open_data` takes: an array or tensor [N, C, H, W], a folder, a list of PIL images, a
            Dataset, ... If there is a training and a test part, the training images come first.
        size: side in pixels of the images that the backbone gets. By default a run's own; what a timm model's
            ``pretrained_cfg`` says; else 224.
        mean: of each channel, for images from 0 to 1. By default the run's; the ``pretrained_cfg``'s; else ImageNet's.
        std: the standard deviation of each channel, likewise.
        device: cpu, cuda or mps; None: a network that is given stays where it is, and one that is loaded goes to a GPU
            if there is one.
        batch_size: images that go through the backbone at once.
        tell: told how many images are done.

    Raises:
        UsageError: if there is no such backbone or data, the backbone does not take images of that size, or an image
            cannot be read: the message names it. (`twofold.embed` leaves such images out.)
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    encoder = open_backbone(backbone, size=size, mean=mean, std=std, device=device)
    data = open_data(images).of_kind(encoder.spec.channels)
    sources = [data.train] if data.test is None else [data.train, data.test]
    total, found = sum(map(len, sources)), list[Tensor]()
    for source in sources:
        for batch in read_ahead(source, encoder.spec.size, cut(range(len(source)), batch_size)):
            crops = [_readable(source, number, crop) for number, crop in batch]
            found.append(encoder(stacked(crops)).cpu())
            tell("images", sum(map(len, found)), total)
    return torch.cat(found)


def _readable(source: Source, number: int, crop: Tensor | str) -> Tensor:
    if isinstance(crop, str):
        raise UsageError(f"{source.name(number)} cannot be read: {crop} (twofold.embed leaves such images out)")
    return crop
