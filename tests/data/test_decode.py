"""Odd images."""

import io
import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from twofold.data.decode import Unreadable, as_images, decode, pixels_of
from twofold.errors import UsageError


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


def test_sixteen_bits_and_floats_stay():
    values = np.array([[0, 257, 65535], [32896, 1000, 40000]], np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        pixels = decode(saved(Image.fromarray(values), kind))
        assert (pixels.dtype, pixels.tolist()) == (np.uint16, [values.tolist()])
    assert np.array_equal(pixels_of(Image.fromarray(values)), values[None])
    with pytest.raises(Unreadable, match="int32"):
        decode(saved(Image.fromarray(np.array([[70000]], np.int32)), "TIFF"))
    with pytest.raises(Unreadable, match="32-bit"):
        pixels_of(Image.fromarray(np.array([[70000]], np.int32)))
    fractions = np.array([[-1.0, 0.5, 300.0]], np.float32)
    for pixels in (decode(saved(Image.fromarray(fractions), "TIFF")), pixels_of(Image.fromarray(fractions))):
        assert (pixels.dtype, pixels.tolist()) == (np.float32, [fractions.tolist()])
    with pytest.raises(Unreadable, match="not finite"):
        decode(saved(Image.fromarray(np.array([[0.0, np.inf]], np.float32)), "TIFF"))


def deep_png(pixels):
    """A PNG file of 16 bits, from uint16 [H, W, C], C 1 to 4, by hand: Pillow writes none of several channels."""

    def part(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(lines)) + part(b"IEND", b"")


def test_a_png_of_sixteen_bits_keeps_them():
    pixels = np.random.default_rng(0).integers(0, 65536, (7, 9, 4)).astype(np.uint16)
    for channels in (1, 3):
        found = decode(deep_png(pixels[..., :channels]))
        assert (found.dtype, found.shape) == (np.uint16, (channels, 7, 9))
        assert np.array_equal(found, np.moveaxis(pixels[..., :channels], -1, 0))
    pixels[..., 1::2] = 65535
    assert np.array_equal(decode(deep_png(pixels)), np.moveaxis(pixels[..., :3], -1, 0))
    pixels[..., 3] = 0
    assert (decode(deep_png(pixels)) == 65535).all()
    assert (decode(deep_png(pixels[..., 2:])) == 65535).all()
    with pytest.raises(Unreadable, match="a broken PNG file"):
        decode(deep_png(pixels)[:200])


@pytest.mark.parametrize(
    ("shape", "due"),
    [
        ((6, 9), (1, 6, 9)),
        ((6, 9, 5), (5, 6, 9)),
        ((5, 6, 9), (5, 6, 9)),
        ((3, 8, 8), (3, 8, 8)),
        ((20, 30, 16), (16, 20, 30)),
    ],
)
def test_an_array_file_is_an_image(shape, due):
    values = np.arange(math.prod(shape), dtype=np.uint16).reshape(shape)
    for kind, expected in (
        ("u2", "uint16"),
        (">u2", "uint16"),
        ("f8", "float32"),
        ("f2", "float32"),
        ("i2", "float32"),
    ):
        found = decode(array_file(values.astype(kind)))
        assert (str(found.dtype), found.shape) == (expected, due)
        place = values[None] if len(shape) == 2 else values if shape == due else np.moveaxis(values, -1, 0)
        np.testing.assert_allclose(found, place, atol=0 if kind != "f2" else 8)


def test_grey_arrays_of_eight_bits_are_pictures():
    found = decode(array_file(np.full((6, 9), 7, np.uint8)))
    assert (found.dtype, found.shape, found.max()) == (np.uint8, (3, 6, 9), 7)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((30, 30, 17), np.uint8), r"C 1 to 16, not \[30, 30, 17\]"),
        (np.zeros(5, np.uint8), r"not \[5\]"),
        (np.zeros((4, 4), np.int32), "not int32"),
        (np.full((4, 4), np.inf), "not finite"),
        (np.full((4, 4), 1e300), "not finite"),
        (np.array([{}]), "Python objects"),
    ],
)
def test_other_arrays_are_unreadable(values, reason):
    with pytest.raises(Unreadable, match=reason):
        decode(array_file(values))


def array_file(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


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


def test_one_picture_is_not_taken_for_many_narrow_ones():
    with pytest.raises(UsageError, match="looks like one image: give"):
        as_images(np.zeros((48, 64, 3), np.uint8), "an array")
    assert as_images(np.zeros((48, 4, 3), np.uint8), "an array").shape == (48, 3, 4, 3)
