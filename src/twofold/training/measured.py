"""What a run's rules ask of its images and of the machine."""

from typing import Any

import torch

from twofold import device
from twofold.data.inspection import Inspection
from twofold.nets.backbone import describe, stem_for
from twofold.nets.vit import patch_size
from twofold.recipe.recipe import Wanted
from twofold.recipe.rules import SMALL

PHOTOGRAPH = 224
"""side of a view in pixels, where images are larger than small ones"""


class Measurements:
    """The `Measured` of inspected images and a device, for what is wanted of them."""

    def __init__(self, inspection: Inspection, device: torch.device, wanted: Wanted) -> None:
        """Images that are to stay in memory are decoded here, before anything is measured: none is opened twice."""
        self.inspection, self.device = inspection, device
        self.resident: bool | None = wanted.get("resident")
        if self.resident is None:
            self.resident = inspection.fits_in_memory(wanted.get("batch_size"))
        elif self.resident:
            inspection.decode()

    @property
    def natural_size(self) -> int:
        longest = self.inspection.longest_side
        return longest if 0 < longest <= SMALL else PHOTOGRAPH

    @property
    def channels(self) -> int:
        return self.inspection.kind.channels

    @property
    def depth(self) -> str:
        return self.inspection.kind.depth

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.inspection.statistics

    def fits_in_memory(self, batch_size: int) -> bool:
        return bool(self.resident)

    @property
    def precision(self) -> str:
        return device.good_precision(self.device)

    def stem(self, settings: dict[str, Any]) -> str:
        return stem_for(settings["backbone"], settings["image_size"])

    def patch_size(self, settings: dict[str, Any]) -> int:
        names = ("backbone", "backbone_arguments", "stem", "image_size", "pool", "channels")
        spec, _ = describe(*(settings[name] for name in names))
        return patch_size(spec.build())
