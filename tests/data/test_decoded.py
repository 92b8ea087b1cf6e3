"""All images in one tensor: none is changed, none decoded twice, and what cannot be read is left out."""

import numpy as np
import pytest

from tests.conftest import picture
from tests.data.making import Breaking, Counting, photos
from twofold.data import decoded as decoding
from twofold.data.decoded import decode_all
from twofold.data.objects import source_of
from twofold.data.sources import Subset

SIZES = [(9, 14), (12, 8), (9, 9), (16, 10), (7, 15), (16, 15)]


def mixed():
    """Images of several sizes, with labels."""
    return source_of([(picture(*size, number), number % 2) for number, size in enumerate(SIZES)], "it")


@pytest.mark.parametrize("block", [1, 1000, 1 << 30])
def test_images_of_any_size_are_padded_and_come_back_as_they_were(block, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK_BYTES", block)
    source = mixed()
    decoded = decode_all(source, 2)
    assert decoded.images.shape == (6, 3, 16, 15)
    for number, (height, width) in enumerate(SIZES):
        assert np.array_equal(decoded.image(number), source.image(number))
        assert decoded.sizes[number].tolist() == [height, width]
        assert decoded.images[number, :, height:].sum() == decoded.images[number, :, :, width:].sum() == 0
    assert (decoded.labels, decoded.fingerprint()) == (source.labels, source.fingerprint())


def test_what_cannot_be_read_is_left_out():
    source = Breaking(mixed(), {1, 4})
    decoded = decode_all(source, 2)
    assert decoded.numbers == [0, 2, 3, 5]
    assert decoded.failures == [(1, "broken"), (4, "broken")]
    assert decoded.labels == [0, 0, 1, 1]
    assert [decoded.name(row) for row in range(4)] == ["row 0", "row 2", "row 3", "row 5"]
    assert np.array_equal(decoded.image(3), source.image(5))
    assert decoded.fingerprint() == Subset(source, decoded.numbers).fingerprint()
    nothing = decode_all(Breaking(mixed(), set(range(6))), 2)
    assert (len(nothing), len(nothing.failures)) == (0, 6)


def test_it_gives_up_at_the_first_image_that_is_too_large():
    """The fourth is: 16 x 14 pixels are what all are padded to by then."""
    assert decode_all(mixed(), 1, lambda _: 3 * 16 * 15) is not None
    assert decode_all(mixed(), 1, lambda _: 3 * 16 * 15 - 1) is None
    many = Counting(photos(100))
    assert decode_all(many, 1, lambda _: 10) is None
    assert len(many.opened) < 5


def test_an_array_is_not_copied():
    source = photos(3)
    assert decode_all(source, 1).images.data_ptr() == source.images.ctypes.data
