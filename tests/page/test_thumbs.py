"""Thumbnails on their sheets."""

import base64
import io

import numpy as np
import torch
from PIL import Image

from twofold.page.thumbs import ACROSS, sheets, shrink, side_for


def test_thumbnails_shrink_as_they_grow_many():
    assert [side_for(n, 224) for n in (5, 2000, 50_000)] == [96, 96, 32]
    assert side_for(50_000, 28) == 28
    assert side_for(10**6, 8) == 8


def test_a_small_thumbnail_is_on_its_sheet_exactly():
    images = torch.randint(0, 256, (ACROSS**2 + 40, 3, 8, 8), dtype=torch.uint8)
    files = sheets(shrink(images, 8))
    assert len(files) == 2
    for number in (0, 33, ACROSS**2 - 1, ACROSS**2 + 35):
        which, place = divmod(number, ACROSS**2)
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(files[which]))))
        top, left = place // ACROSS * 8, place % ACROSS * 8
        assert np.array_equal(sheet[top : top + 8, left : left + 8], images[number].permute(1, 2, 0))
