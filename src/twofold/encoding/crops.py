"""From a source to batches of central crops: threads decode one batch ahead of the network."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from torch import Tensor

from twofold.augment.pipeline import Box
from twofold.data.crop import crop_scaled, reduction, stacked
from twofold.data.decode import Unreadable
from twofold.data.parallel import pool_of
from twofold.data.sources import Source
from twofold.nets.backbone import SMALL

CROPS = 3
"""A number that changes whenever an image would give another central crop, so that features which were kept of the
earlier crops are not taken for features of these."""
BATCH = 256
"""Images that are decoded together, one batch ahead of the network."""
PHOTO_SHARE = 0.875
"""Of the shorter side of a photograph, the usual test crop; small images are taken whole."""

T = TypeVar("T")


class Crop(NamedTuple):
    """A central crop, [C, size, size] as `crop_one`'s, and the height and width in pixels of the image in its file."""

    pixels: Tensor
    height: int
    width: int

    @property
    def box(self) -> tuple[int, int, int]:
        """What was cut, as `central_box` has it."""
        return central_box(self.height, self.width)


def central_box(height: int, width: int) -> tuple[int, int, int]:
    """The largest central square of an image, of a photograph 7/8 of it: its top, left and side in pixels."""
    side = min(height, width)
    if max(height, width) > SMALL:
        side = max(1, round(side * PHOTO_SHARE))
    return (height - side) // 2, (width - side) // 2, side


def central_crop(source: Source, number: int, size: int, interpolation: str = "bicubic") -> Crop:
    """The square of one image that `central_box` names, resized.

    A large JPEG file is decoded smaller, as far as `reduction` permits.

    Raises:
        Unreadable: if the image cannot be read.
    """

    def box(height: int, width: int) -> Box:
        top, left, side = central_box(height, width)
        return top, left, side, side

    image = source.scaled(number, lambda *shape: reduction(box(*shape), size))
    crop = crop_scaled(image, box(image.height, image.width), False, size, interpolation)
    return Crop(crop, image.height, image.width)


def central_crops(
    source: Source, size: int, interpolation: str = "bicubic", share: slice = slice(None)
) -> Iterator[tuple[list[int], Tensor]]:
    """The readable images' numbers and central crops, [n, C, size, size], a batch at a time, in order.

    ``share``: which of the batches.
    """
    ranges = list(batches(range(len(source))))[share]
    for images in read_ahead(source, size, ranges, interpolation):
        readable = [(number, crop.pixels) for number, crop in images if isinstance(crop, Crop)]
        if readable:
            yield [number for number, _ in readable], stacked([pixels for _, pixels in readable])


def read_ahead(
    source: Source, size: int, ranges: Iterable[range], interpolation: str = "bicubic"
) -> Iterator[list[tuple[int, Crop | str]]]:
    """For each range its images in order: the number and the central crop, or the number and why it cannot be read."""
    return ahead(lambda number: central_crop(source, number, size, interpolation), ranges)


def ahead(read: Callable[[int], T], ranges: Iterable[Iterable[int]]) -> Iterator[list[tuple[int, T | str]]]:
    """For each range its numbers in order with what ``read`` gives for them, or with why an image is unreadable.

    It is called in threads, one range ahead; memory does not grow with the number of ranges.
    """

    def tried(number: int) -> T | str:
        try:
            return read(number)
        except Unreadable as error:
            return str(error)

    with pool_of(min(16, os.cpu_count() or 1)) as pool:
        begun = ([(number, pool.submit(tried, number)) for number in numbers] for numbers in ranges)
        following = next(begun, None)
        while following is not None:
            current, following = following, next(begun, None)
            yield [(number, future.result()) for number, future in current]


def cut(numbers: range, size: int) -> Iterator[range]:
    """Cut a range into ranges of ``size``; the last may be shorter."""
    return (numbers[i : i + size] for i in range(0, len(numbers), size))


def batches(numbers: range) -> Iterator[range]:
    """Cut a range into ranges of `BATCH`."""
    return cut(numbers, BATCH)
