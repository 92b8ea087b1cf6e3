"""Images that are all in memory: the same batches as those that worker processes bring."""

import numpy as np
import pytest
import torch

from tests.data.making import photos
from twofold.augment import Views
from twofold.data.decoded import decode_all
from twofold.data.loader import Streamed
from twofold.data.plan import MicroBatch, Plan
from twofold.data.resident import Resident
from twofold.data.sources import Array

CPU = torch.device("cpu")
VIEWS = Views(32, small_crops=1, small_size=16)


def both(source, threads=1, workers=0):
    """Three batches of either kind."""
    plan, decoded, steps = Plan(12, 6, 0), decode_all(source, 2), [MicroBatch(step, slice(0, 6)) for step in range(3)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        resident = list(Resident(decoded.images, decoded.sizes, CPU).load(plan, VIEWS, steps))
    finally:
        torch.set_num_threads(before)
    return resident, list(Streamed(source, CPU, workers, 0.1, print).load(plan, VIEWS, steps))


@pytest.mark.parametrize("workers", [0, 2])
def test_small_images_have_the_crops_that_workers_make(workers):
    """Up to the rounding of a crop to whole levels on its way from a worker, and of torch's integer resize."""
    for one, other in zip(*both(photos(12), workers=workers), strict=True):
        assert torch.equal(one.index, other.index)
        for a, b in zip(one.crops, other.crops, strict=True):
            assert (a - b).abs().max() < 2.5 / 255
        assert all(
            torch.equal(x, y)
            for a, b in zip(one.draws, other.draws, strict=True)
            for x, y in zip(a, b, strict=True)
            if isinstance(x, torch.Tensor)
        )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_large_images_have_the_very_crops_that_workers_make(kind, threads):
    """They are cut one by one on a CPU, by whatever number of threads."""
    pixels = photos(12, 70, 90).images
    kinds = {"uint8": pixels, "uint16": pixels.astype(np.uint16) * 257, "float32": pixels.astype(np.float32) / 255}
    for one, other in zip(*both(Array(kinds[kind]), threads), strict=True):
        assert torch.equal(one.index, other.index)
        assert all(torch.equal(a, b) for a, b in zip(one.crops, other.crops, strict=True))


def test_what_pads_smaller_images_is_in_no_crop():
    white = [np.full((3, 66 + number, 100 - number), 255, np.uint8) for number in range(12)]
    padded = torch.zeros(12, 3, 77, 100, dtype=torch.uint8)
    for number, image in enumerate(white):
        padded[number, :, : image.shape[1], : image.shape[2]] = torch.from_numpy(image)
    sizes = torch.tensor([image.shape[1:] for image in white])
    for part in Resident(padded, sizes, CPU).load(Plan(12, 6, 0), VIEWS, [MicroBatch(0, slice(0, 6))]):
        assert all((crops == 1).all() for crops in part.crops)
