"""From a source to batches of central crops: threads decode one batch ahead of the network."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from torch import Tensor

from twofold.data.decode import Unreadable
from twofold.data.loader import crop_one, stacked
from twofold.data.sources import Source
from twofold.nets.backbone import SMALL

BATCH = 256
"""Images that go through a network at once."""
PHOTO_SHARE = 0.875
"""Of the shorter side of a photograph, the usual test crop; small images are taken whole."""


def central_crop(image: np.ndarray, size: int) -> Tensor:
    """The largest central square of an image, of a photograph 7/8 of it, resized: [C, size, size] as `crop_one`'s."""
    height, width = image.shape[1:]
    side = min(height, width)
    if max(height, width) > SMALL:
        side = max(1, round(side * PHOTO_SHARE))
    return crop_one(image, ((height - side) // 2, (width - side) // 2, side, side), False, size, "bicubic")


def central_crops(source: Source, size: int) -> Iterator[tuple[list[int], Tensor]]:
    """The readable images' numbers and central crops, [n, C, size, size], a batch at a time, in order."""
    for images in read_ahead(source, size, batches(range(len(source)))):
        readable = [(number, crop) for number, crop in images if isinstance(crop, Tensor)]
        if readable:
            yield [number for number, _ in readable], stacked([crop for _, crop in readable])


def read_ahead(source: Source, size: int, ranges: Iterable[range]) -> Iterator[list[tuple[int, Tensor | str]]]:
    """For each range its images in order: the number and the central crop, or the number and why it cannot be read.

    Decoding runs in threads, one range ahead; memory does not grow with the number of ranges.
    """

    def read(number: int) -> Tensor | str:
        try:
            return central_crop(source.image(number), size)
        except Unreadable as error:
            return str(error)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        begun = ([(number, pool.submit(read, number)) for number in numbers] for numbers in ranges)
        ahead = next(begun, None)
        while ahead is not None:
            current, ahead = ahead, next(begun, None)
            yield [(number, future.result()) for number, future in current]


def cut(numbers: range, size: int) -> Iterator[range]:
    """Cut a range into ranges of ``size``; the last may be shorter."""
    return (numbers[i : i + size] for i in range(0, len(numbers), size))


def batches(numbers: range) -> Iterator[range]:
    """Cut a range into ranges of `BATCH`."""
    return cut(numbers, BATCH)
