"""Batches of images that are all decoded in memory, on the device that computes."""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from twofold.augment import Views
from twofold.augment.pipeline import Draws, ViewPipeline
from twofold.augment.resample import resized_crop
from twofold.data.crop import Cutter, stacked
from twofold.data.decode import Scaled
from twofold.data.parallel import in_order
from twofold.data.plan import Crops, MicroBatch, Plan, drawn
from twofold.device import send
from twofold.nets.backbone import SMALL
from twofold.nets.normalize import unit


class Resident:
    """All images decoded in memory: [N, C, H, W] on the device, smaller ones padded, and their true sizes."""

    def __init__(self, images: Tensor, sizes: Tensor, device: torch.device) -> None:
        self.images, self.sizes, self.device = images.to(device), sizes, device

    def __len__(self) -> int:
        return len(self.images)

    def load(self, plan: Plan, views: Views, parts: Sequence[MicroBatch]) -> Generator[Crops, None, None]:
        one_by_one = self.device.type == "cpu" and max(self.images.shape[2:]) > SMALL
        for part in parts:
            index, second = plan.shown(part)
            kinds = drawn(views, plan, part)
            shown = [second if number == 1 else index for number in range(len(kinds))]
            if one_by_one:
                crops = [self._each(view, draws, which) for (view, draws), which in zip(kinds, shown, strict=True)]
            else:
                index, crops = self._together(kinds, shown, index)
            yield Crops(part, index, crops, [draws for _, draws in kinds])

    def _together(
        self, kinds: Sequence[tuple[ViewPipeline, Draws]], shown: Sequence[Tensor], index: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """``index`` on the device, and all crops of each view by products of matrices."""
        wanted = []
        for (view, draws), which in zip(kinds, shown, strict=True):
            wanted += [which, view.boxes(draws, self.sizes[which]), draws.flip]
        there, *wanted = send([index, *wanted], self.device)
        crops = []
        for (view, _), which, boxes, flip in zip(kinds, wanted[::3], wanted[1::3], wanted[2::3], strict=True):
            images = _rows(self.images, which)
            crops.append(resized_crop(images, boxes, flip, view.size, view.augment.interpolation))
        return there, crops

    def _each(self, view: ViewPipeline, draws: Draws, shown: Tensor) -> Tensor:
        """The crops of one view, each by torch's filter of bytes: of 384 x 512 pixels a tenth of the time together."""
        cutter, numbers, sizes = Cutter(view, draws), shown.tolist(), self.sizes[shown].tolist()

        def crop(row: int) -> Tensor:
            height, width = sizes[row]
            return cutter.crop(row, Scaled(self.images[numbers[row], :, :height, :width].numpy(), height, width))

        return unit(stacked(list(in_order(crop, range(len(numbers)), torch.get_num_threads()))))


def _rows(images: Tensor, index: Tensor) -> Tensor:
    """Some of the images; torch need not know how to pick from uint16 numbers on every device, but from int16."""
    return images.view(torch.int16)[index].view(torch.uint16) if images.dtype == torch.uint16 else images[index]
