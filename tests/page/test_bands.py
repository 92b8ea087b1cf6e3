"""Images that are no pictures, as they are shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.making import photos
from twofold.data.sources import Array
from twofold.errors import UsageError
from twofold.page.bands import PICTURE, Look


def test_pictures_stay_as_they_are():
    source = photos(3, 24, 24)
    look = Look.of(source, 24, 3, "uint8")
    images = torch.from_numpy(source.images)
    assert look == PICTURE
    assert look(images) is images
    assert torch.equal(look(images / 255), images)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_a_band_is_stretched_between_two_of_its_percentiles(kind):
    random = np.random.default_rng(0)
    images = random.uniform(1000, 3000, (40, 5, 32, 32)).astype(kind)
    images[:, 4] = images[:, 4] * 10
    images[0, 4, :10] = 65535  # a glare that does not make all else dark
    look = Look.of(Array(images), 32, 5, kind, (5, 1, 2))
    shown = look(torch.from_numpy(images))
    assert (shown.dtype, tuple(shown.shape)) == (torch.uint8, (40, 3, 32, 32))
    assert shown[0, 0, :10].min() == 255
    low, high = np.percentile(images[:, [4, 0, 1]], (2, 98), axis=(0, 2, 3))[..., None, None]
    expected = ((images[:, [4, 0, 1]].astype(np.float64) - low) / (high - low)).clip(0, 1) * 255
    assert np.abs(shown.numpy() - expected).max() < 1
    for channel in range(3):
        assert 0.01 < (shown[:, channel] == 0).float().mean() < 0.03


def test_one_band_is_grey():
    images = np.arange(2 * 2 * 16 * 16, dtype=np.uint16).reshape(2, 2, 16, 16)
    for bands in (None, (1,)):
        shown = Look.of(Array(images), 16, 2, "uint16", bands)(torch.from_numpy(images))
        assert shown.shape == (2, 3, 16, 16)
        assert torch.equal(shown[:, 0], shown[:, 2])
        assert (shown[0, 0].min(), shown[1, 0].max()) == (0, 255)
    flat = np.full((2, 1, 16, 16), 7, np.uint16)
    assert Look.of(Array(flat), 16, 1, "uint16")(torch.from_numpy(flat)).eq(0).all()


@pytest.mark.parametrize("bands", [(1, 2), (0,), (1, 2, 6)])
def test_bands_that_there_are_not(bands):
    with pytest.raises(UsageError, match="bands must be one or three numbers from 1 to 5, not "):
        Look.of(photos(1), 8, 5, "uint16", bands)


NUMBERS = {"uint16": st.integers(0, 65535), "float32": st.floats(-1e6, 1e6, width=32)}


@given(st.sampled_from(sorted(NUMBERS)), st.data())
def test_a_stretch_keeps_the_order_of_a_bands_values(kind, data):
    """And what is outside of the two percentiles is black or full, also where all values are one."""
    values = data.draw(st.lists(NUMBERS[kind], min_size=16, max_size=16))
    images = np.array(values, kind).reshape(1, 1, 4, 4)
    look = Look.of(Array(images), 4, 1, kind, (1,))
    shown = look(torch.from_numpy(images))
    assert (shown.dtype, tuple(shown.shape)) == (torch.uint8, (1, 3, 4, 4))
    assert (shown == shown[:, :1]).all()
    order = torch.from_numpy(np.argsort(images.ravel(), kind="stable"))
    assert (shown[0, 0].ravel()[order].int().diff() >= 0).all()
    assert shown.min() == 0
    assert shown.max() in ((0,) if len(set(values)) == 1 else (255,))
