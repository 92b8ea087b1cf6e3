"""What a run's rules ask of its images and of the machine; each is measured once, and only if it is asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from twofold import device
from twofold.data.decode import Unreadable
from twofold.data.loader import fits_in_memory, sample, sizes_of
from twofold.data.sources import Source
from twofold.errors import UsageError
from twofold.nets.backbone import SMALL, describe, stem_for
from twofold.nets.vit import patch_size

SAMPLE = 500
"""images that size, mean and deviation are measured on"""


class Measurements:
    """The `Measured` of a source of images and a device; ``threads`` decode at once."""

    def __init__(self, source: Source, device: torch.device, threads: int) -> None:
        self.source, self.device, self.threads = source, device, threads

    @cached_property
    def natural_size(self) -> int:
        return natural_size(self.source, self.threads)

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return channel_statistics(self.source)

    def fits_in_memory(self, batch_size: int) -> bool:
        return fits_in_memory(self.source, batch_size, self.threads)

    @property
    def precision(self) -> str:
        return device.good_precision(self.device)

    def stem(self, settings: dict[str, Any]) -> str:
        return stem_for(settings["backbone"], settings["image_size"])

    def patch_size(self, settings: dict[str, Any]) -> int:
        names = ("backbone", "backbone_arguments", "stem", "image_size", "pool")
        spec, _ = describe(*(settings[name] for name in names))
        return patch_size(spec.build())


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
