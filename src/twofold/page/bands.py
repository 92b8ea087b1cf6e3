"""Images of any kind as people can look at them: some bands as red, green and blue, stretched to what is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from twofold.data import kinds
from twofold.data.kinds import Kind
from twofold.data.plan import sample
from twofold.data.sources import Source
from twofold.encoding.crops import central_crops
from twofold.errors import UsageError
from twofold.nets.normalize import unit

LOOKED_AT = 100
"""images that the stretch is measured on"""
STRETCH = (2, 98)
"""percentiles of a band's pixels that become black and full colour"""


def look_at(channels: int, bands: Sequence[int] | None) -> tuple[int, ...]:
    """The channels that are shown, by number from 0; ``bands`` counts from 1, and None is the first three or one.

    Raises:
        UsageError: for bands that there are not, or neither one nor three.
    """
    picked = tuple(bands) if bands else ((1, 2, 3) if channels >= 3 else (1,))
    if len(picked) not in (1, 3) or not 1 <= min(picked) <= max(picked) <= channels:
        given = " ".join(map(str, picked))
        raise UsageError(f"bands must be one or three numbers from 1 to {channels}, not {given}")
    return tuple(number - 1 for number in picked)


@dataclass(frozen=True)
class Look:
    """How images [n, C, h, w] are shown: uint8 [n, 3, h, w].

    ``bands``: numbers, from 0, of the channels that are red, green and blue, or of one that is all three. ``low`` and
    ``high``: of each of them, what becomes black and what full colour, in images as `unit` makes them.
    """

    bands: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, source: Source, size: int, channels: int, depth: str, bands: Sequence[int] | None = None) -> "Look":
        """The look of a source's images: 8-bit RGB as it is, all else stretched between two percentiles of each band.

        Args:
            size: side in pixels of the crops that are looked at.
            channels: of the images.
            depth: their numbers.
            bands: one or three numbers from 1; None: the first three, or the first one of fewer.

        Raises:
            UsageError: for bands that there are not.
        """
        chosen = look_at(channels, bands)
        if bands is None and Kind(channels, depth) == kinds.PICTURE:
            return PICTURE
        crops = [unit(images)[:, list(chosen)] for _, images in central_crops(sample(source, LOOKED_AT), size)]
        if not crops:
            return cls(chosen, (0.0,) * len(chosen), (1.0,) * len(chosen))
        low, high = np.percentile(torch.cat(crops).numpy(), STRETCH, axis=(0, 2, 3))
        return cls(chosen, tuple(low.tolist()), tuple(high.tolist()))

    def __call__(self, images: Shaped[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 h w"]:
        if self == PICTURE and images.dtype == torch.uint8:
            return images
        low, high = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (self.low, self.high))
        shown = (unit(images)[:, list(self.bands)] - low) / (high - low).clamp_min(1e-12)
        return (shown.clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1)


PICTURE = Look((0, 1, 2), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""That of 8-bit RGB."""
