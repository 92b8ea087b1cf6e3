"""Odd images."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from twofold.data.decode import Unreadable, decode


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


COLOURS = Image.fromarray(picture(20, 30))


def test_every_kind_of_image_comes_out_as_rgb():
    rgb = np.moveaxis(picture(20, 30), -1, 0)
    assert np.array_equal(decode(saved(COLOURS)), rgb)
    grey = decode(saved(COLOURS.convert("L")))
    assert grey.shape == (3, 20, 30)
    assert np.array_equal(grey[0], grey[2])
    assert decode(saved(COLOURS.convert("1"))).max() == 255
    assert np.abs(decode(saved(COLOURS.quantize(256))).astype(int) - rgb).mean() < 12
    cmyk = decode(saved(COLOURS.convert("CMYK"), "JPEG", quality=98))
    assert np.abs(cmyk.astype(int) - rgb).mean() < 8


def test_transparency_lies_on_white():
    clear = COLOURS.copy()
    clear.putalpha(0)
    assert (decode(saved(clear)) == 255).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 10, 10])
    assert (decode(saved(palette, transparency=1)) == 255).all()
    half = Image.new("LA", (4, 4), (0, 128))
    assert (np.abs(decode(saved(half)).astype(int) - 127) <= 1).all()


def test_sixteen_bits_keep_their_place_in_the_range():
    values = np.array([[0, 257, 65535], [32896, 1000, 40000]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = decode(saved(Image.fromarray(values), kind))
        assert pixels[0].tolist() == [[0, 1, 255], [128, 4, 156]]
    with pytest.raises(Unreadable, match="32-bit"):
        decode(saved(Image.fromarray(np.array([[70000]], np.int32)), "TIFF"))
    ones = decode(saved(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"))
    assert ones[0].tolist() == [[0, 128, 255]]
    with pytest.raises(Unreadable, match="floating-point"):
        decode(saved(Image.fromarray(np.array([[-1.0, 300.0]], np.float32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_photographs_are_turned_upright(orientation):
    """A picture stored turned, with the orientation that undoes it, decodes like the upright one."""
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(COLOURS if stored is None else COLOURS.transpose(stored), exif=exif)
    assert np.array_equal(decode(file), np.moveaxis(picture(20, 30), -1, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_unreadable(kind, share):
    file = encoded(picture(64, 64), kind)
    with pytest.raises(Unreadable):
        decode(file[: int(len(file) * share)])


def test_what_is_no_image_is_unreadable():
    for file in (b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(100)):
        with pytest.raises(Unreadable):
            decode(file)
