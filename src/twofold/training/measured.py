"""What a run's rules ask of its images and of the machine."""

from typing import Any

import torch

from twofold import device
from twofold.data.inspection import Inspection
from twofold.nets.backbone import describe, stem_for
from twofold.nets.vit import patch_size
from twofold.nets.weights import Weights, open_weights
from twofold.recipe.recipe import Wanted
from twofold.recipe.rules import SMALL, fitting_batch

PHOTOGRAPH = 224
"""The largest side of a view in pixels that is chosen."""
UNIT = 16
"""The side of a view is a multiple of this where images are larger than small ones, as transformers' patches are."""


def starting_weights(wanted: Wanted) -> Weights | None:
    """The weights that the backbone of a wanted run starts from, if there are any.

    Raises:
        UsageError: if they cannot be had.
    """
    weights: str = wanted.get("weights")
    return open_weights(weights, wanted.get("backbone")) if weights else None


class Measurements:
    """The `Measured` of inspected images, a device and the weights that a run starts from, for what is wanted."""

    def __init__(
        self, inspection: Inspection, device: torch.device, wanted: Wanted, weights: Weights | None = None
    ) -> None:
        """Images that are to stay in memory are decoded here, before anything is measured: none is opened twice."""
        self.inspection, self.device, self.weights = inspection, device, weights
        self.resident: bool | None = wanted.get("resident")
        if self.resident is None:
            batch = wanted.get("batch_size") or fitting_batch(len(inspection.source), wanted.get("epochs"))
            self.resident = inspection.fits_in_memory(batch)
        elif self.resident:
            inspection.decode()

    @property
    def natural_size(self) -> int:
        if self.weights:
            return self.weights.size
        longest = self.inspection.longest_side
        return longest if 0 < longest <= SMALL else min(PHOTOGRAPH, longest // UNIT * UNIT or PHOTOGRAPH)

    @property
    def channels(self) -> int:
        return self.inspection.kind.channels

    @property
    def depth(self) -> str:
        return self.inspection.kind.depth

    @property
    def grey(self) -> bool:
        return self.inspection.grey

    @property
    def mirrored_alike(self) -> bool:
        return self.inspection.mirrored_alike

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The weights' own, where they are for as many channels, and of RGB for 8-bit values; else measured."""
        w, pictures = self.weights, self.depth == "uint8"
        if w and len(w.mean) == self.channels and (pictures or self.channels != 3):
            return w.mean, w.std
        return self.inspection.statistics

    @property
    def interpolation(self) -> str:
        return self.weights.interpolation if self.weights else "bicubic"

    def fits_in_memory(self, batch_size: int) -> bool:
        return bool(self.resident)

    @property
    def precision(self) -> str:
        return device.good_precision(self.device)

    def stem(self, settings: dict[str, Any]) -> str:
        return self.weights.stem if self.weights else stem_for(settings["backbone"], settings["image_size"])

    def patch_size(self, settings: dict[str, Any]) -> int:
        names = ("backbone", "backbone_arguments", "stem", "image_size", "pool", "channels")
        spec, _ = describe(*(settings[name] for name in names))
        return patch_size(spec.build())
