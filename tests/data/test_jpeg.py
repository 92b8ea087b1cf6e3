"""JPEG files: the pixels are Pillow's, and a smaller image is hardly another one than the whole one made smaller."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from tests.conftest import encoded, picture
from twofold.data import bounds, jpeg
from twofold.data.decode import Unreadable, decode, scaled


def photograph(height=240, width=320, seed=0, **options):
    """Smooth shapes with edges and grain, as photographs have them, as a JPEG file."""
    shapes = picture(height // 8, width // 8, seed)
    large = Image.fromarray(shapes).resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return encoded((np.asarray(large) + grain).clip(0, 255).astype(np.uint8), "JPEG", **options)


def by_pillow(file):
    return np.moveaxis(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")), -1, 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 95, "subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"keep_rgb": True},
        {"restart_marker_rows": 1},
    ],
    ids=str,
)
def test_pixels_are_pillows(options):
    for height, width in ((64, 48), (61, 47), (9, 1), (1, 1)):
        file = encoded(picture(height, width), "JPEG", **options)
        assert np.array_equal(decode(file), by_pillow(file))
        grey = io.BytesIO()
        Image.fromarray(picture(height, width)).convert("L").save(grey, "JPEG", **options)
        assert np.array_equal(decode(grey.getvalue()), by_pillow(grey.getvalue()))


@pytest.mark.parametrize("orientation", [0, *range(1, 10)])
def test_turned_photographs_are_pillows_too(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(picture(61, 47), "JPEG", exif=exif)
    assert np.array_equal(decode(file), by_pillow(file))
    small = scaled(file, lambda height, width: 2)
    assert small[1:] == by_pillow(file).shape[1:]
    half = by_pillow(encoded(picture(61, 47), "JPEG", exif=exif))[:, ::2, ::2]
    assert small.pixels.shape == half.shape
    assert np.abs(small.pixels.astype(int) - half).mean() < 40  # it lies as the whole one does; see below for more


def test_the_size_is_told_before_anything_is_decoded():
    asked = []
    found = scaled(photograph(240, 320), lambda height, width: asked.append((height, width)) or 5)
    assert asked == [(240, 320)]
    assert found.pixels.shape == (3, 60, 80)  # 4 is the largest factor up to 5
    for most, side in ((1, 61), (2, 31), (4, 16), (7.9, 16), (8, 8), (100, 8)):
        assert scaled(encoded(picture(61, 61), "JPEG"), lambda *_, m=most: m).pixels.shape == (3, side, side)
    png = scaled(encoded(picture(20, 30)), lambda *_: 2)
    assert (png.pixels.shape, png.height, png.width) == ((3, 20, 30), 20, 30)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_smaller_image_shows_the_same(factor):
    """Halved once more, the least that happens to a crop of it, it differs by less than a level of 255."""
    for seed in range(3):
        file = photograph(seed=seed, quality=90)
        whole, small = decode(file), scaled(file, lambda *_: factor).pixels
        size = (240 // factor // 2, 320 // factor // 2)
        one, other = (
            F.interpolate(torch.from_numpy(image.copy())[None], size, mode="bicubic", antialias=True).float()
            for image in (whole, small)
        )
        assert (one - other).abs().mean() < 1
        assert (one - other).abs().max() < 16
        assert one.std() > 30


def test_what_is_damaged_is_judged_by_pillow():
    file = photograph(64, 64)
    for cut in (len(file) // 3, len(file) // 2, len(file) - 20):
        with pytest.raises(Unreadable):
            scaled(file[:cut], lambda *_: 2)
    harmless = file[:2] + b"\xff\xfe\x00\x04ab" + file[2:] + b"what a camera appends"
    assert np.array_equal(decode(harmless), decode(file))


def test_no_larger_image_than_is_permitted_is_decoded(monkeypatch):
    """Though its smaller version would be permitted."""
    file = photograph(600, 700)
    monkeypatch.setenv(bounds.VARIABLE, "1")
    monkeypatch.setattr(jpeg, "pixels", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(Unreadable, match="700 x 600 pixels"):
        scaled(file, lambda *_: 8)


def test_a_file_that_gives_two_sizes_is_left_to_pillow():
    file = bytearray(photograph(64, 64))
    with Image.open(io.BytesIO(bytes(file))) as image:
        place = file.index(b"\xff\xc0") + 5
        file[place : place + 4] = (8).to_bytes(2) + (8).to_bytes(2)
        assert jpeg.pixels(bytes(file), image) is None
