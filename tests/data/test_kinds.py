"""Images made into another kind, and sets of images that are not of one kind."""

import numpy as np
import pytest

from tests.conftest import picture
from tests.data.making import photos
from twofold.data.decode import Unreadable
from twofold.data.decoded import decode_all
from twofold.data.kinds import OfKind, converted, of_kind
from twofold.data.objects import source_of
from twofold.data.sources import Array
from twofold.errors import UsageError

RGB = np.moveaxis(picture(6, 8), -1, 0)


def test_whole_numbers_keep_their_place_in_the_range():
    deep = converted(RGB, None, "uint16")
    assert (deep.dtype, deep.tolist()) == (np.uint16, (RGB.astype(int) * 257).tolist())
    assert np.array_equal(converted(deep, None, "uint8"), RGB)
    floats = converted(deep, None, "float32")
    assert (floats.dtype, floats.max() <= 1) == (np.float32, True)
    np.testing.assert_allclose(floats, RGB / 255, atol=1e-6)
    assert np.array_equal(converted(floats, 3, "uint16"), deep)
    assert converted(np.array([[[32895, 32896]]], np.uint16), None, "uint8").tolist() == [[[128, 128]]]
    with pytest.raises(Unreadable, match="outside 0 to 1, where uint8 is due"):
        converted(floats * 2, None, "uint8")


def test_greyscale_and_rgb():
    grey = (RGB[:1].astype(np.uint16)) * 257
    assert np.array_equal(converted(grey, 3, "uint8"), np.repeat(RGB[:1], 3, 0))
    assert np.array_equal(converted(np.repeat(RGB[:1], 3, 0), 1, None), RGB[:1])
    for image, channels in ((RGB, 1), (np.repeat(RGB, 2, 0), 3), (RGB, 4)):
        with pytest.raises(Unreadable, match=f"it has {len(image)} channels of uint8, where {channels} are due"):
            converted(image, channels, None)


def test_a_source_of_one_kind():
    given = source_of([(picture(6, 8), "a"), (picture(6, 8)[..., 0].astype(np.uint16) * 257, "b")], "it")
    source = of_kind(given, 3, "uint8")
    assert isinstance(source, OfKind)
    assert [source.image(number).shape for number in range(2)] == [(3, 6, 8)] * 2
    assert source.changes == ["images with 1 channel of uint16 are made 3 channels of uint8"]
    assert (source.labels, source.classes) == ([0, 1], ["a", "b"])
    assert (source.name(1), source.fingerprint()) == (given.name(1), given.fingerprint())
    with pytest.raises(UsageError, match=r"row 0 has 3 channels of uint8, row 1 has 1 channel of uint16: images must"):
        decode_all(given, 1)
    assert decode_all(source, 1).images.shape == (2, 3, 6, 8)
    plain = photos(2)
    assert of_kind(plain, 3, "uint8") is of_kind(plain, None) is plain
    assert of_kind(plain, 3, "uint16").image(0).dtype == np.uint16
    floats = of_kind(plain, None, "float32")
    floats.image(0)
    assert floats.changes == ["images with 3 channels of uint8 are made 3 channels of float32, from 0 to 1"]


@pytest.mark.parametrize(("largest", "bits", "factor"), [(1023, 10, 64), (4095, 12, 16), (9000, 14, 4)])
def test_fewer_bits_than_the_type_has_are_said(largest, bits, factor):
    """Pictures of 12 bits in files of 16 become nearly black where 8 are due."""
    deep = np.zeros((2, 1, 8, 8), np.uint16)
    deep[1, 0, 3, 3] = largest
    source = of_kind(Array(deep), 3, "uint8")
    assert max(source.image(number).max() for number in range(2)) <= 35
    (said,) = source.changes
    assert said.endswith(
        f"end at {largest}, of 65535, so they become dark: if they have {bits} bits, save them multiplied by {factor})"
    )
    floats = of_kind(Array(deep), None, "float32")  # whose mean and deviation are measured
    floats.image(1)
    assert floats.changes == ["images with 1 channel of uint16 are made 1 channel of float32, from 0 to 1"]
    deep[0, 0, 0, 0] = 40000
    whole = of_kind(Array(deep), 3, "uint8")
    assert [whole.image(number).max() for number in range(2)] == [156, round(largest / 257)]
    assert whole.changes == ["images with 1 channel of uint16 are made 3 channels of uint8"]
