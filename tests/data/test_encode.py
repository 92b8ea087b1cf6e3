"""Files of pixels, and what they are called."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from twofold.data.decode import FORMATS, Unreadable
from twofold.data.encode import ending_of, no_longer, packed

PIXELS = np.moveaxis(picture(20, 30), -1, 0)


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"TGA", "PPM"}))
def test_a_file_has_the_ending_of_what_it_holds(kind):
    assert ending_of(encoded(picture(8, 8), kind)) == FORMATS[kind][0]


def test_a_jpeg_of_several_pictures_is_a_jpeg():
    file = io.BytesIO()
    one, other = (Image.fromarray(picture(32, 32, seed)) for seed in range(2))
    one.save(file, "MPO", save_all=True, append_images=[other])
    assert ending_of(file.getvalue()) == ".jpg"


@pytest.mark.parametrize("file", [b"no image", encoded(picture(8, 8))[:20], b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_has_no_ending(file):
    with pytest.raises(Unreadable):
        ending_of(file)


def test_a_smaller_copy_of_what_loses_is_a_jpeg():
    assert packed(encoded(picture(20, 30), "JPEG"), None, 10)[1] == ".jpg"
    assert packed(encoded(picture(20, 30), "WEBP"), None, 10)[1] == ".jpg"
    assert packed(encoded(picture(20, 30), "GIF"), None, 10)[1] == ".png"
    assert packed(None, PIXELS, 10)[1] == ".png"


def test_a_side_has_one_pixel_at_least():
    assert no_longer(np.zeros((3, 1000, 2), np.uint8), 10).shape == (3, 10, 1)
    assert no_longer(PIXELS, 30) is PIXELS
