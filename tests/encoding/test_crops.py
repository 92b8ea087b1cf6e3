"""Central crops: what is cut, what is skipped, and how far decoding runs ahead."""

import numpy as np
import pytest
import torch

from tests.data.test_jpeg import photograph
from twofold.data.decode import Unreadable, decode
from twofold.data.encoded import Files
from twofold.data.sources import Array, Source, Subset
from twofold.encoding.crops import central_crop, central_crops, read_ahead


def test_photographs_are_cropped_small_images_are_not():
    photo = np.zeros((1, 3, 80, 160), np.uint8)
    photo[..., 5:75, 45:115] = 200  # the central 7/8 of the largest square
    assert (central_crop(Array(photo), 0, 32).pixels == 200).all()
    small = np.full((1, 3, 30, 40), 9, np.uint8)
    small[..., 5:35] = 50
    assert (central_crop(Array(small), 0, 30).pixels == 50).all()


@pytest.mark.parametrize(("size", "factor"), [(448, 1), (440, 1), (437, 2), (300, 2), (200, 4), (100, 8), (20, 8)])
def test_a_large_jpeg_file_is_decoded_smaller_while_its_crop_stays_twice_as_fine(tmp_path, size, factor):
    """The crop is that of the whole image but for a few levels of 255, and its box is in the file's pixels."""
    (tmp_path / "a.jpg").write_bytes(photograph(2000, 2400))
    whole = Array(decode((tmp_path / "a.jpg").read_bytes())[None])
    read = []

    class Noting(Files):
        def scaled(self, index, most):
            read.append(super().scaled(index, most))
            return read[-1]

    found = central_crop(Noting(["a.jpg"], tmp_path), 0, size)
    assert 2000 // read[0].pixels.shape[1] == factor
    assert (found.height, found.width, found.box) == (2000, 2400, (125, 325, 1750))
    expected = central_crop(whole, 0, size)
    assert expected.box == found.box
    assert (found.pixels.float() - expected.pixels.float()).abs().mean() < 3


def test_central_crops_skip_what_cannot_be_read():
    class Breaking(Subset):
        scaled = Source.scaled

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
