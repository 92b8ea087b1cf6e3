"""TIFF files of several bands, pages and depths; ordinary pictures stay what they are."""

import io
import subprocess
import sys
from itertools import product

import numpy as np
import PIL
import pytest
import tifffile
from packaging.version import Version
from PIL import Image

from tests.conftest import picture
from twofold.data.decode import Unreadable, decode


def tiff(pixels, byteorder="<", **options):
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=byteorder) as writer:
        writer.write(pixels, metadata=None, **options)
    return file.getvalue()


def values(shape, kind="uint16"):
    random = np.random.default_rng(0)
    return random.integers(0, 200, shape).astype(kind) if kind != "uint16" else random.integers(0, 65536, shape, kind)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [2, 5, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_bands_lie_apart_or_together(bands, kind, compression):
    planes = values((bands, 20, 24), kind)
    plain = dict(photometric="minisblack", compression=compression)
    apart = decode(tiff(planes, planarconfig="separate", **plain))
    together = decode(tiff(np.moveaxis(planes, 0, -1), planarconfig="contig", **plain))
    for found in (apart, together):
        assert (found.dtype, found.flags["C_CONTIGUOUS"]) == (planes.dtype, True)
        assert np.array_equal(found, planes)


def test_numbers_of_other_kinds():
    heights = np.array([[-400, 8848]], np.int16)
    assert decode(tiff(heights)).tolist() == [[[-400.0, 8848.0]]]
    assert decode(tiff(heights.astype(np.float64))).dtype == np.float32
    big = decode(tiff(values((5, 8, 8)), photometric="minisblack", planarconfig="separate", byteorder=">"))
    assert (big.dtype, big.tolist()) == (np.uint16, values((5, 8, 8)).tolist())
    with pytest.raises(Unreadable, match="not uint32"):
        decode(tiff(heights.astype(np.uint32)))


def test_pages_of_one_size_are_bands():
    planes = values((4, 8, 10))
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for plane in planes:
            writer.write(plane, photometric="minisblack", metadata=None)
        writer.write(planes[0, ::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)  # a smaller copy
    assert np.array_equal(decode(file.getvalue()), planes)
    grey = io.BytesIO()
    first, second = (Image.fromarray(picture(8, 10, number)[..., 0]) for number in range(2))
    first.save(grey, "TIFF", save_all=True, append_images=[second])
    assert decode(grey.getvalue()).tolist() == [np.asarray(page).tolist() for page in (first, second)]
    with pytest.raises(Unreadable, match="17 channels, and an image has at most 16"):
        decode(tiff(values((17, 8, 8)), photometric="minisblack"))


def test_of_pages_that_are_pictures_the_first_counts():
    pages = [Image.fromarray(picture(8, 10, number)) for number in range(2)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(decode(file.getvalue()), np.moveaxis(picture(8, 10, 0), -1, 0))
    sizes = io.BytesIO()
    with tifffile.TiffWriter(sizes) as writer:
        for side in (8, 6):
            writer.write(values((side, side)), photometric="minisblack", metadata=None)
    assert decode(sizes.getvalue()).shape == (1, 8, 8)


YCBCR = pytest.param(
    "YCbCr",
    marks=pytest.mark.skipif(Version(PIL.__version__).major < 13, reason="Pillow 12 cannot read what it writes itself"),
)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", YCBCR])
def test_pictures_of_eight_bits_are_rgb(mode):
    file = io.BytesIO()
    image = Image.fromarray(picture(20, 30)).convert(mode)
    image.save(file, "TIFF")
    found = decode(file.getvalue())
    assert (found.dtype, found.shape) == (np.uint8, (3, 20, 30))
    opaque = image.convert("RGBA").convert("RGB") if mode in ("RGBA", "LA") else image.convert("RGB")
    assert np.abs(found.astype(int) - np.moveaxis(np.asarray(opaque), -1, 0)).max() <= 2


def test_a_fourth_channel_is_a_band_unless_it_is_transparency():
    pixels = np.moveaxis(values((4, 8, 10), "uint8"), 0, -1)
    infrared = decode(tiff(pixels, photometric="rgb", planarconfig="contig", extrasamples=["unspecified"]))
    assert np.array_equal(infrared, np.moveaxis(pixels, -1, 0))
    for kind, declared in product((np.uint8, np.uint16), ("unassalpha", "assocalpha")):
        full = np.iinfo(kind).max
        bright = pixels.astype(kind) * kind(full // 255)
        clear = bright.copy()
        clear[..., 3] = np.where(np.arange(10) < 4, 0, full)  # of each row the first four pixels are transparent
        clear[0, 0, 3] = full // 2
        as_picture = dict(photometric="rgb", planarconfig="contig", extrasamples=[declared])
        if declared == "assocalpha":
            clear[..., :3] = clear[..., :3] * (clear[..., 3:] / full)
        white = decode(tiff(clear, **as_picture))
        assert (white.shape, (white[:, 1:, :4] == full).all()) == ((3, 8, 10), True)
        assert np.array_equal(white[:, :, 4:], np.moveaxis(clear[:, 4:, :3], -1, 0))
        assert np.abs(white[:, 0, 0] - (full - full // 2 + bright[0, 0, :3] / 2)).max() <= 2
        measured = bright  # as tifffile and GDAL write any four channels
        empty = measured * np.array([1, 1, 1, 0], kind)
        sparse = measured.copy()
        sparse[..., 3] = np.where(np.arange(10) < 5, 0, sparse[..., 3])  # a background that was taken off,
        sparse[0, 9, 3] = full  # and a pixel that is too bright
        constant = measured * np.array([1, 1, 1, 0], kind) + np.array([0, 0, 0, 100], kind)
        for bands in (measured, empty, sparse, constant):
            assert np.array_equal(decode(tiff(bands, **as_picture)), np.moveaxis(bands, -1, 0))
        corner = np.zeros((20, 20, 4), kind)  # of a mosaic
        with pytest.raises(Unreadable, match="shows nothing"):
            decode(tiff(corner, **as_picture))
        corner[0, 0] = full
        assert decode(tiff(corner, **as_picture)).shape == (3, 20, 20)


@pytest.mark.parametrize("bands", [1, 2, 4, 5])
def test_a_transparency_beside_bands_is_one_more(bands):
    """GDAL writes one beside any number of bands, where an image was turned to lie north."""
    pixels = np.moveaxis(values((bands + 1, 12, 10)), 0, -1)
    if bands > 1:
        pixels[..., -1] = np.where(np.arange(10) < 4, 0, 65535)
        pixels[:, :4] = 0
    as_measured = dict(photometric="minisblack", planarconfig="contig")
    found = decode(tiff(pixels, extrasamples=["unspecified"] * (bands - 1) + ["unassalpha"], **as_measured))
    assert np.array_equal(found, np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize(
    ("kind", "nodata"),
    [("float32", "-9999"), ("uint16", "0"), ("float32", "-3.4028234663852886e+38"), ("float32", "nan")],
)
def test_missing_data_get_the_mean_of_the_others(kind, nodata):
    planes = values((3, 10, 12)).astype(kind) + 1
    holes = planes.copy()
    holes[0, :2], holes[2] = (np.float32(nodata).astype(kind),) * 2
    tag = (42113, "s", 0, nodata, True)
    how = dict(photometric="minisblack", planarconfig="separate", compression="zlib")
    found = decode(tiff(holes, extratags=[tag], **how))
    expected = planes.copy()
    expected[0, :2] = planes[0, 2:].mean(dtype=np.float64).round(0 if kind == "uint16" else 9)
    expected[2] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.array_equal(decode(tiff(planes, extratags=[tag], **how)), planes)
    with pytest.raises(Unreadable, match="without data"):
        decode(tiff(np.full_like(planes, holes[2, 0, 0]), extratags=[tag], **how))
    odd = decode(tiff(planes, extratags=[(42113, "s", 0, "none", True)], **how))
    assert np.array_equal(odd, planes)


def test_white_is_the_highest_value():
    pixels = np.array([[0, 65535, 1000]], np.uint16)
    assert decode(tiff(pixels, photometric="miniswhite")).tolist() == [[[65535, 0, 64535]]]
    missing = [(42113, "s", 0, "1000", True)]
    assert decode(tiff(pixels, photometric="miniswhite", extratags=missing)).tolist() == [[[65535, 0, 32768]]]


def test_a_transparency_has_no_missing_data():
    pixels = np.moveaxis(values((4, 8, 10), "uint16"), 0, -1)
    pixels[..., 3] = np.where(np.arange(10) < 4, 0, 65535)
    pixels[5, 5:, :3] = 65535
    how = dict(photometric="rgb", planarconfig="contig", extrasamples=["unassalpha"])
    found = decode(tiff(pixels, extratags=[(42113, "s", 0, "65535", True)], **how))
    means = [round(band[band != 65535].mean()) for band in np.moveaxis(pixels[..., :3], -1, 0)]
    assert (found[:, :, :4] == 65535).all()  # laid on white
    assert found[:, 5, 9].tolist() == means


@pytest.mark.parametrize("number", range(1, 9))
def test_it_lies_upright(number):
    """As Pillow turns a picture with the same orientation."""
    plane = values((6, 9))
    file = io.BytesIO()
    grey = Image.fromarray((plane >> 8).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = number
    grey.save(file, "PNG", exif=exif)
    turned = decode(file.getvalue())[0]
    found = decode(tiff(plane, photometric="minisblack", extratags=[(274, "H", 1, number, True)]))
    assert np.array_equal(found[0] >> 8, turned)


def test_broken_files_are_unreadable():
    file = tiff(values((5, 40, 40)), photometric="minisblack", planarconfig="separate")
    packed = tiff(values((5, 40, 40)), photometric="minisblack", planarconfig="separate", compression="zlib")
    for whole in (file, packed):
        for share in (0.3, 0.6, 0.95):
            with pytest.raises(Unreadable, match="a broken TIFF file"):
                decode(whole[: int(len(whole) * share)])
    for length in (5, 8, 10, 20):
        with pytest.raises(Unreadable, match="a broken TIFF file"):
            decode(file[:length])


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"bigtiff": True}, {"ome": True}, {"compression": "zlib"}])
def test_a_stack_that_lacks_its_last_pages_is_unreadable(options):
    """tifffile itself gives the pages that are left."""
    planes = values((5, 32, 32))
    stack = io.BytesIO()
    tifffile.imwrite(stack, planes, photometric="minisblack", **options)
    file = stack.getvalue()
    assert np.array_equal(decode(file), planes)
    with tifffile.TiffFile(io.BytesIO(file)) as tiff_file:
        pages = [page.offset for page in tiff_file.pages]
    for length in {*np.linspace(64, pages[-1] + 8, 20).astype(int), *pages[1:]}:
        with pytest.raises(Unreadable, match="a broken TIFF file"):
            decode(file[:length])


def test_a_last_page_that_names_no_place_as_the_next_is_the_last():
    file = bytearray(tiff(values((1, 32, 32)), photometric="minisblack"))
    with tifffile.TiffFile(io.BytesIO(bytes(file))) as whole:
        place = whole.pages[0].offset + 2 + 12 * len(whole.pages[0].tags)
    assert file[place : place + 4] == bytes(4)
    file[place : place + 4] = b"junk"
    assert np.array_equal(decode(bytes(file)), values((1, 32, 32)))


def test_stacks_of_many_pages_are_told_what_to_do():
    with pytest.raises(Unreadable, match="64 pages or more: save each image of a stack or series as a file"):
        decode(tiff(values((70, 4, 4)), photometric="minisblack"))


def test_numbers_of_a_palette_are_no_grey_values():
    colours = np.arange(768, dtype=np.uint16).reshape(3, 256)
    with pytest.raises(Unreadable):
        decode(tiff(values((8, 8), "uint8"), photometric="palette", colormap=colours, compression="jpeg2000"))


@pytest.mark.parametrize("compression", ["jpeg2000", "jpegxl", "png", "webp"])
def test_pictures_that_pillow_cannot_unpack(compression):
    pixels = picture(32, 40)
    lossless = {"lossless": True} if compression == "webp" else None
    options = dict(photometric="rgb", compression=compression, compressionargs=lossless)
    assert np.array_equal(decode(tiff(pixels, **options)), np.moveaxis(pixels, -1, 0))
    if compression != "webp":
        grey = decode(tiff(pixels[..., 0], photometric="minisblack", compression=compression))
        assert np.array_equal(grey, np.repeat(pixels[None, ..., 0], 3, 0))


@pytest.mark.parametrize("compression", ["lzw", "zstd"])
def test_compressions_need_one_more_package(compression, tmp_path):
    planes = values((5, 20, 24))
    file = tiff(planes, photometric="minisblack", planarconfig="separate", compression=compression, predictor=True)
    assert np.array_equal(decode(file), planes)
    (tmp_path / "a.tif").write_bytes(file)
    without = (
        "import sys; sys.modules['imagecodecs'] = None; from pathlib import Path; from twofold.data import tiff; "
        "tiff.read(Path(sys.argv[1]).read_bytes())"
    )
    picture_of = Image.fromarray(picture(20, 24)).convert("RGBA")
    picture_of.save(
        tmp_path / "picture.tif", compression=f"tiff_{compression}" if compression == "lzw" else compression
    )
    subprocess.run([sys.executable, "-c", without, tmp_path / "picture.tif"], check=True)  # Pillow reads it
    done = subprocess.run([sys.executable, "-c", without, tmp_path / "a.tif"], capture_output=True, text=True)
    said = f"ValueError: {compression.upper()} compression needs one more package, pip install 'twofold[tiff]'"
    assert done.stderr.splitlines()[-1] == said
