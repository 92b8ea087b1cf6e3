"""Crops of decoded images, by torch's own interpolation."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.conftest import picture
from tests.data.test_jpeg import photograph
from twofold.augment import Views
from twofold.data.crop import FINER, Cutter, crop_one, finest, stacked
from twofold.data.decode import Scaled, scaled

IMAGE = picture(40, 30, 0).transpose(2, 0, 1)


@pytest.mark.parametrize("image", [IMAGE, IMAGE.copy(order="C")], ids=["as decoded", "planes"])
def test_a_crop_is_cut_resized_and_mirrored(image):
    top, left, height, width = 5, 4, 20, 16
    box = torch.from_numpy(image[None, :, top : top + height, left : left + width]).float()
    expected = F.interpolate(box, (8, 8), mode="bilinear", antialias=True)[0].flip(2)
    found = crop_one(image, (top, left, height, width), True, 8, "bilinear")
    assert (found.shape, found.dtype) == ((3, 8, 8), torch.uint8)
    assert (found.float() - expected).abs().max() <= 1


def test_whole_numbers_stay_in_their_range_though_the_filter_overshoots():
    edge = np.zeros((1, 16, 16), np.uint16)
    edge[:, :, 8:] = 65535
    found = crop_one(edge, (0, 0, 16, 16), False, 32, "bicubic")
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert crop_one(edge.astype(np.float32), (0, 0, 16, 16), False, 32, "bicubic").max() > 65535


def test_bytes_stay_bytes_unless_another_is_float():
    ones = torch.full((3, 4, 4), 255, dtype=torch.uint8)
    assert stacked([ones, ones]).dtype == torch.uint8
    mixed = stacked([ones, torch.zeros(3, 4, 4)])
    assert (mixed.dtype, mixed[0].min()) == (torch.float32, 1.0)


def test_crops_of_one_image_after_the_other_are_those_of_all_boxes():
    view = Views(16).pipelines[0]
    draws = Views(16).draw(0, 8)[0]
    images = [picture(30 + 5 * row, 60 - 4 * row, row).transpose(2, 0, 1) for row in range(8)]
    cutter = Cutter(view, draws)
    for row, image in enumerate(images):
        cutter.cut(row, Scaled(image, *image.shape[1:]))
    boxes = view.boxes(draws, torch.tensor([image.shape[1:] for image in images])).tolist()
    expected = [crop_one(image, box, flip, 16, "bicubic") for image, box, flip in zip(images, boxes, draws.flip)]
    assert torch.equal(stacked(cutter.crops), stacked(expected))


def test_an_image_is_decoded_smaller_where_every_crop_stays_finer_than_its_view():
    """The crops then differ by a shift of less than half a pixel of the view and by what is no level of the scale."""
    file, views = photograph(480, 640), Views(32, small_crops=1, small_size=16)
    for step in range(5):
        kinds = list(zip(views.pipelines, views.draw(step, 1), strict=True))
        whole, small = ([Cutter(view, draws) for view, draws in kinds] for _ in "ab")
        image, smaller = scaled(file, lambda *_: 1), scaled(file, finest(small, 0))
        boxes = [view.boxes(draws, torch.tensor([[480, 640]]))[0] for view, draws in kinds]
        room = min(int(min(box[2:])) / view.size for box, (view, _) in zip(boxes, kinds, strict=True))
        factor = 480 // smaller.pixels.shape[1]
        assert factor == max(f for f in (1, 2, 4, 8) if f == 1 or f * FINER <= room)
        for one, other in zip(whole, small, strict=True):
            one.cut(0, image)
            other.cut(0, smaller)
            assert (one.crops[0].float() - other.crops[0].float()).abs().mean() < 6
    assert factor > 1


def test_a_crop_of_a_smaller_image_keeps_a_pixel():
    view, draws = Views(1).pipelines[0], Views(1, crop_scale=(1e-6, 1e-6)).draw(0, 4)[0]
    cutter = Cutter(view, draws)
    for row in range(4):
        cutter.cut(row, Scaled(np.full((3, 2, 3), 7, np.uint8), 16, 24))
    assert (stacked(cutter.crops) == 7).all()
