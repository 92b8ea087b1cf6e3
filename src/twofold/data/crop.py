"""One decoded image's crop, resized, and several of them as one tensor."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.nets.normalize import unit


def crop_one(image: np.ndarray, box: Sequence[int], flip: bool, size: int, interpolation: str) -> Tensor:
    """Cut a box out of one decoded image and resize it: [C, size, size], uint8 where the image is, else as `unit`.

    Whole numbers stay in their range; floats may overshoot a little at edges, as the cubic filter does.
    """
    top, left, height, width = box
    crop = torch.from_numpy(image[None, :, top : top + height, left : left + width])
    if crop.dtype != torch.uint8:
        crop = unit(crop)
    crop = crop.contiguous(memory_format=torch.channels_last)  # torch's fast path for uint8
    crop = F.interpolate(crop, (size, size), mode=interpolation, antialias=True, align_corners=False)[0]
    if image.dtype == np.uint16:
        crop = crop.clamp_(0, 1)
    return crop.flip(2) if flip else crop.contiguous()


def stacked(crops: Sequence[Tensor]) -> Tensor:
    """Crops as one tensor [n, C, S, S]; where some are floats, all are made so."""
    alike = len({crop.dtype for crop in crops}) == 1
    return torch.stack(list(crops) if alike else [unit(crop) for crop in crops])
