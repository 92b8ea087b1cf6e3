"""Crops of decoded images, resized: of one, of one after the other of a batch, and all of them as one tensor."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.augment.pipeline import Box, Draws, ViewPipeline
from twofold.data.decode import Reduction, Scaled
from twofold.nets.normalize import unit

FINER = 2
"""An image may be decoded smaller as long as a crop of it has so many times the view's pixels along each side."""


def crop_one(image: np.ndarray, box: Sequence[int], flip: bool, size: int, interpolation: str) -> Tensor:
    """Cut a box out of one decoded image and resize it: [C, size, size], uint8 where the image is, else as `unit`.

    Whole numbers stay in their range; floats may overshoot a little at edges, as the cubic filter does. The channels of
    a pixel of bytes lie together in memory, which is how pictures are decoded and what torch's filter is fastest with.
    """
    top, left, height, width = box
    crop = torch.from_numpy(image)[None, :, top : top + height, left : left + width]
    if crop.dtype != torch.uint8:
        crop = unit(crop)
    crop = crop.contiguous(memory_format=torch.channels_last)
    crop = F.interpolate(crop, (size, size), mode=interpolation, antialias=True, align_corners=False)
    if image.dtype == np.uint16:
        crop = crop.clamp_(0, 1)
    crop = crop.flip(3) if flip else crop
    return crop[0] if crop.dtype == torch.uint8 else crop[0].contiguous()


def crop_scaled(image: Scaled, box: Box, flip: bool, size: int, interpolation: str) -> Tensor:
    """`crop_one` by a box in the file's pixels. Of an image decoded smaller its edges become whole pixels."""
    top, left, height, width = box
    rows, columns = image.pixels.shape[1:]
    first, last = _within(top, height, rows, image.height)
    start, end = _within(left, width, columns, image.width)
    return crop_one(image.pixels, (first, start, last - first, end - start), flip, size, interpolation)


def reduction(box: Box, size: int) -> int:
    """By how much an image may be decoded smaller of which that box, in the file's pixels, becomes ``size`` pixels."""
    return max(1, min(box[2:]) // (FINER * size))


class Cutter:
    """The crops of one view of a batch, taken out of one image after the other."""

    def __init__(self, view: ViewPipeline, draws: Draws) -> None:
        self.view, self.crops = view, list[Tensor]()
        self._find, self._flips = view.finder(draws), draws.flip.tolist()

    def reduction(self, row: int, height: int, width: int) -> int:
        """By how much an image of that size, the batch's ``row``, may be decoded smaller."""
        return reduction(self._find(row, height, width), self.view.size)

    def cut(self, row: int, image: Scaled) -> None:
        """Take the next crop."""
        self.crops.append(self.crop(row, image))

    def crop(self, row: int, image: Scaled) -> Tensor:
        """The crop of the batch's ``row``, as `crop_scaled`'s."""
        box = self._find(row, image.height, image.width)
        return crop_scaled(image, box, self._flips[row], self.view.size, self.view.augment.interpolation)


def finest(cutters: Sequence[Cutter], row: int) -> Reduction:
    """By how much the batch's image ``row`` may be smaller when all of these cut their crops out of it."""
    return lambda height, width: min((cutter.reduction(row, height, width) for cutter in cutters), default=1)


def _within(start: int, length: int, pixels: int, of: int) -> tuple[int, int]:
    """Where a part of a line of ``of`` pixels begins and ends in the same line with fewer ``pixels``."""
    if pixels == of:
        return start, start + length
    first = min(round(start * pixels / of), pixels - 1)
    return first, max(first + 1, round((start + length) * pixels / of))


def stacked(crops: Sequence[Tensor]) -> Tensor:
    """Crops as one tensor [n, C, S, S], in memory as they are; where some are floats, all are made so."""
    alike = len({crop.dtype for crop in crops}) == 1
    return torch.cat([(crop if alike else unit(crop))[None] for crop in crops])
