"""Central crops: what is cut, what is skipped, and how far decoding runs ahead."""

import numpy as np
import torch

from twofold.data.decode import Unreadable
from twofold.data.sources import Array, Subset
from twofold.encoding.crops import central_crop, central_crops, read_ahead


def test_photographs_are_cropped_small_images_are_not():
    photo = np.zeros((3, 80, 160), np.uint8)
    photo[:, 5:75, 45:115] = 200  # the central 7/8 of the largest square
    assert (central_crop(photo, 32) == 200).all()
    small = np.full((3, 30, 40), 9, np.uint8)
    small[:, :, 5:35] = 50
    assert (central_crop(small, 30) == 50).all()


def test_central_crops_skip_what_cannot_be_read():
    class Breaking(Subset):
        def image(self, index):
            if index == 300:
                raise Unreadable("broken")
            return super().image(index)

    images = np.random.default_rng(0).integers(0, 256, (600, 3, 8, 8), np.uint8)
    source = Breaking(Array(images), range(600))
    numbers, batches = zip(*central_crops(source, 8), strict=True)
    assert [n for batch in numbers for n in batch] == [n for n in range(600) if n != 300]
    assert np.array_equal(torch.cat(batches).numpy(), np.delete(images, 300, 0))


def test_decoding_is_one_batch_ahead_and_no_more():
    """What is held at once does not depend on how many images there are."""
    asked, done = [], 0

    class Counting(Array):
        def image(self, index):
            asked.append(index)
            return super().image(index)

    ranges = (range(i, i + 20) for i in range(0, 600, 20))
    for images in read_ahead(Counting(np.zeros((600, 3, 8, 8), np.uint8)), 8, ranges):
        done += len(images)
        assert len(asked) <= done + 20
    assert sorted(asked) == list(range(600))
