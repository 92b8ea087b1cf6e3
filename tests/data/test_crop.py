"""Crops of decoded images, by torch's own interpolation."""

import numpy as np
import torch
from torch.nn import functional as F

from tests.conftest import picture
from twofold.data.crop import crop_one, stacked

IMAGE = picture(40, 30, 0).transpose(2, 0, 1)


def test_a_crop_is_cut_resized_and_mirrored():
    top, left, height, width = 5, 4, 20, 16
    box = torch.from_numpy(IMAGE[None, :, top : top + height, left : left + width]).float()
    expected = F.interpolate(box, (8, 8), mode="bilinear", antialias=True)[0].flip(2)
    found = crop_one(IMAGE, (top, left, height, width), True, 8, "bilinear")
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
