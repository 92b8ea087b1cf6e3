"""Masks: found by two rules, never taken for images, read as class numbers."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import encoded, picture
from tests.data.making import fill
from twofold.data.masks import decode_mask
from twofold.data.opening import open_data
from twofold.data.scan import scan
from twofold.data.sources import Subset
from twofold.errors import UsageError


def put(root, names):
    """Masks whose only value is their position in the list."""
    kinds = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(np.full((16, 16), value, np.uint8), kinds[(root / name).suffix.lower()]))


def seen(source):
    """By each image's name the value of its mask."""
    found = [source.mask(index) for index in range(len(source))]
    assert source.masked == [index for index, mask in enumerate(found) if mask is not None]
    values = [None if mask is None else mask[0, 0].item() for mask in found]
    return {source.name(index): value for index, value in enumerate(values)}


@pytest.mark.parametrize(
    ("images", "masks", "others"),
    [
        (["a.jpg", "b.png", "c.jpg"], ["a_mask.png", "b_mask.png"], ["gas_mask.png"]),  # whose image there is none of
        (["cat/a.jpg", "dog/b.jpg"], ["cat/a_mask.png", "dog/b_mask.png"], []),
        (["a.jpg", "deep/b.jpg"], ["masks/a.png", "masks/deep/b.png"], []),
        (["cat/a.jpg", "dog/a.jpg"], ["masks/cat/a.png", "masks/dog/a.png"], []),
        (["cat/a.jpg", "dog/a.jpg"], ["cat/masks/a.png", "dog/masks/a.png"], []),
        (["images/a.jpg", "images/b.jpg"], ["masks/a.png", "masks/b.png"], []),
        (["images/cat/a.jpg", "images/dog/b.jpg"], ["masks/cat/a.png", "masks/dog/b.png"], []),
        (["JPEGImages/a.jpg", "JPEGImages/b.jpg"], ["SegmentationClass/a.png", "SegmentationClass/b.png"], []),
        (["masks/a.jpg", "no_masks/b.jpg"], [], ["masks/b.png"]),  # what people wear
        (["cat/a.jpg", "dog/b.tif"], ["cat/a.png", "dog/b.PNG"], []),
        (["a.jpg", "b.jpg"], ["a.png"], ["c.png"]),
        (["a.jpg", "b.jpg"], ["a.png"], ["b.png"]),  # which has colours
        (["a.jpg", "b.jpg"], ["a_mask.png", "b.png"], []),
        (["a.jpg", "b.tif"], ["a_MASK.png", "b_mask.PNG"], ["a_masked.jpg"]),
        (["Images/a.jpg", "Images/b.jpg"], ["Masks/a.png", "Masks/b.png"], []),
        (["images/a.jpg", "images/b.1.jpg"], ["masks/a_mask.png", "masks/b.1_mask.png"], []),
        (["images/a.tif", "images/b.tif"], ["masks/a.tif", "masks/b.TIFF"], []),
        (["a.png", "b.jpg"], ["a_mask.tiff", "b_mask.bmp"], []),
        (["images/a.jpg", "images/b.jpg"], ["annotations/trimaps/a.png", "annotations/trimaps/b.png"], []),  # the pets
        (
            ["steel/test/dent/0.jpg", "cable/test/hole/0.jpg"],
            ["steel/ground_truth/dent/0_mask.png", "cable/ground_truth/hole/0_mask.png"],
            ["steel/test/good/0.jpg", "steel/train/good/0.jpg"],
        ),  # MVTec AD
    ],
)
def test_masks_are_found_and_are_no_images(images, masks, others, tmp_path):
    fill(tmp_path, images + others)
    put(tmp_path, masks)
    source = open_data(tmp_path).train
    assert seen(source) == dict.fromkeys(images + others) | dict(zip(images, range(len(masks)), strict=False))
    found = scan(tmp_path)["train"]
    assert (found.images, found.masked) == (len(images) + len(others), len(masks))


def test_masks_of_a_test_part_alone(tmp_path):
    fill(tmp_path, ["train/good/0.jpg", "test/dent/0.jpg", "test/dent/1.jpg", "test/good/0.jpg"])
    put(tmp_path, ["ground_truth/dent/0_mask.png", "ground_truth/dent/1_mask.png"])
    wanted = {"dent/0.jpg": 0, "dent/1.jpg": 1, "good/0.jpg": None}
    assert seen(open_data(tmp_path / "test").train) == wanted
    data = open_data(tmp_path)
    assert seen(data.test) == wanted
    assert data.notes == ()  # nothing of images beside the parts


def test_other_images_in_a_folder_of_that_name_are_images(tmp_path):
    """Photographs without rain beside those with it; and masks of other images than those to test on."""
    rain = ["test/0.png", "test/1.png", "ground_truth/0.png", "ground_truth/1.png"]
    fill(tmp_path / "rain" / "a", rain)
    fill(tmp_path / "rain" / "b", rain)
    assert len(open_data(tmp_path / "rain").train) == 8
    fill(tmp_path / "set", ["images/a.jpg", "test/a.jpg"])
    put(tmp_path / "set", ["masks/a.png"])
    assert seen(open_data(tmp_path / "set" / "images").train) == {"a.jpg": 0}
    assert seen(open_data(tmp_path / "set" / "test").train) == {"a.jpg": None}


def test_a_folder_of_masks_holds_nothing_else(tmp_path):
    """Masks without an image, previews, and VOC's masks of objects are no images either."""
    fill(tmp_path, ["JPEGImages/a.jpg", "SegmentationClass/a.jpg"])
    put(tmp_path, ["SegmentationClass/a.png", "SegmentationObject/a.png", "SegmentationClass/b.png"])
    assert seen(open_data(tmp_path).train) == {"JPEGImages/a.jpg": 0}


def test_masks_that_are_not_read_are_no_images(tmp_path):
    """Those of other formats, of several parts of one image, and all in a folder of masks beside one of images."""
    fill(tmp_path / "one", ["a.jpg", "a_mask.jpg", "b.png", "b_mask_1.png", "b_mask_2.png", "mask_1.png"])
    assert seen(open_data(tmp_path / "one").train) == dict.fromkeys(["a.jpg", "b.png", "mask_1.png"])
    fill(tmp_path / "two", ["images/a.jpg", "masks/a.jpg", "masks/b.png"])
    two = open_data(tmp_path / "two").train
    assert (seen(two), two.labels) == ({"images/a.jpg": None}, None)


def test_photographs_beside_other_files_of_their_names_are_images(tmp_path):
    """Coloured ones, ones of 16 bits and grey ones with previews; and where others are arrays, these are no images."""
    fill(tmp_path / "colours", ["a.jpg", "a.png", "b.webp", "b.png"])
    assert open_data(tmp_path / "colours").train.masked == []
    assert len(open_data(tmp_path / "colours").train) == 4
    for kind, factor in (("grey", np.uint8(1)), ("dark", np.uint16(1)), ("deep", np.uint16(257))):
        (tmp_path / kind).mkdir()
        for number in range(3):
            grey = picture(32, 32, number)[..., 0]
            (tmp_path / kind / f"{number}.png").write_bytes(encoded(grey * factor))
            (tmp_path / kind / f"{number}.jpg").write_bytes(encoded(grey, "JPEG"))
        source = open_data(tmp_path / kind).train
        assert (len(source), source.masked) == (6, [])
    (tmp_path / "deep" / "0.png").write_bytes(encoded(np.zeros((32, 32), np.uint16)))  # a frame before the light is on
    assert len(open_data(tmp_path / "deep").train) == 6
    fill(tmp_path / "vectors", ["a.png"])
    np.save(tmp_path / "vectors" / "a.npy", np.zeros((8, 8), np.float32))
    assert seen(open_data(tmp_path / "vectors").train) == {"a.png": None}


def test_class_numbers_of_sixteen_bits_beside_photographs_are_masks(tmp_path):
    fill(tmp_path, ["a.jpg", "b.jpg"])
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encoded(np.arange(256, dtype=np.uint16).reshape(16, 16) % 3))
    assert seen(open_data(tmp_path).train) == {"a.jpg": 0, "b.jpg": 0}


def test_the_images_folder_is_no_class(tmp_path):
    fill(tmp_path / "plain", ["images/a.jpg"])
    put(tmp_path / "plain", ["masks/a.png"])
    assert open_data(tmp_path / "plain").train.labels is None
    fill(tmp_path / "classes", ["images/cat/a.jpg", "images/dog/b.jpg"])
    put(tmp_path / "classes", ["masks/cat/a.png"])
    assert open_data(tmp_path / "classes").train.classes == ["cat", "dog"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("images/training/a.jpg", "annotations/training/a.png"), ("images/val/b.jpg", "annotations/val/b.png")),
        (("train/images/a.jpg", "train/masks/a.png"), ("test/images/b.jpg", "test/masks/b.png")),
        (("train/a.jpg", "train/a_mask.png"), ("valid/b.jpg", "valid/b_mask.png")),
        (("train/a.jpg", "masks/train/a.png"), ("val/b.jpg", "masks/val/b.png")),
    ],
)  # fmt: skip
def test_parts(train, test, tmp_path):
    fill(tmp_path, [train[0], test[0]])
    put(tmp_path, [train[1], test[1]])
    data = open_data(tmp_path)
    assert list(seen(data.train).values()) == [0]
    assert list(seen(data.test).values()) == [1]


def test_of_masks_in_several_formats_the_png_is_read(tmp_path):
    """Whether the folder of images is named or the one around it, and where they lie beside the image."""
    fill(tmp_path / "beside", ["a.jpg"])
    put(tmp_path / "beside", ["a_mask.bmp", "a_mask.png", "a_mask.tif"])
    assert seen(open_data(tmp_path / "beside").train) == {"a.jpg": 1}
    apart = tmp_path / "apart"
    fill(apart, ["images/a.jpg"])
    put(apart, ["masks/a.bmp", "masks/a.png", "masks/a.tif"])
    assert seen(open_data(apart).train) == {"images/a.jpg": 1}
    assert seen(open_data(apart / "images").train) == {"a.jpg": 1}


def test_masks_beside_the_folder_that_is_named(tmp_path, monkeypatch):
    """Whoever names the folder of images has the masks beside it, also by a relative path."""
    fill(tmp_path, ["images/a.jpg", "images/deep/b.jpg", "images/c.jpg"])
    put(tmp_path, ["masks/a.png", "masks/deep/b.tif"])
    monkeypatch.chdir(tmp_path)
    expected = {"a.jpg": 0, "c.jpg": None, "deep/b.jpg": 1}
    assert seen(open_data("images").train) == seen(open_data(tmp_path / "images").train) == expected
    assert seen(Subset(open_data("images").train, [1, 2])) == {"c.jpg": None, "deep/b.jpg": 1}


def test_grey_values_and_palettes_are_class_numbers_and_bits_are_black_and_white():
    values = np.array([[0, 3], [255, 20]], np.uint8)
    assert decode_mask(encoded(values), "m").tolist() == values.tolist()
    palette = Image.frombytes("P", (2, 2), values.tobytes())
    palette.putpalette([number for value in range(256) for number in (value, 0, 128)])
    assert decode_mask(bytes_of(palette), "m").tolist() == values.tolist()
    assert decode_mask(bytes_of(Image.fromarray(values > 3)), "m").tolist() == [[0, 0], [255, 255]]
    assert decode_mask(bytes_of(Image.fromarray(values.astype(np.uint16))), "m").tolist() == values.tolist()
    for kind in ("TIFF", "BMP"):
        assert decode_mask(encoded(values, kind), "m").tolist() == values.tolist()
    deep = encoded(values.astype(np.uint16), "TIFF", compression="tiff_lzw")
    assert decode_mask(deep, "m").tolist() == values.tolist()
    for mode in ("LA", "RGB", "RGBA"):  # which some programs save greys as
        assert decode_mask(bytes_of(Image.fromarray(values).convert(mode)), "m").tolist() == values.tolist()


def bytes_of(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pages(count):
    file = io.BytesIO()
    first, *others = (Image.fromarray(np.zeros((4, 4), np.uint8)) for _ in range(count))
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize("bits", [2, 4])
def test_numbers_of_few_bits_are_class_numbers(bits):
    """Pillow stretches them to 8 bits."""
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8) % 2**bits
    packed = (numbers.reshape(6, -1, 8 // bits) << np.arange(8 - bits, -1, -bits)).sum(2).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", 8, 6, bits, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        png += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    # Width, height, bits, no compression, black is 0, where the pixels are, channels, rows, bytes; the lowest
    # version of imagecodecs that is allowed packs no numbers.
    tags = {256: 8, 257: 6, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: packed.size}
    tiff = b"II*\0" + struct.pack("<I", 8 + packed.size) + packed.tobytes() + struct.pack("<H", len(tags))
    tiff += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()) + bytes(4)
    for file in (png, tiff):
        assert np.array_equal(decode_mask(file, "m"), numbers)


def test_smaller_copies_of_a_mask_are_passed_over():
    """Cloud-optimised GeoTIFF files have them."""
    numbers = np.arange(64, dtype=np.uint8).reshape(8, 8)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(numbers, photometric="minisblack", metadata=None)
        writer.write(numbers[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        writer.write(numbers > 9, photometric="mask", subfiletype=4, metadata=None)
    assert np.array_equal(decode_mask(file.getvalue(), "m"), numbers)
    first = io.BytesIO()
    with tifffile.TiffWriter(first) as writer:
        writer.write(numbers[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        writer.write(numbers, photometric="minisblack", metadata=None)
    assert np.array_equal(decode_mask(first.getvalue(), "m"), numbers)


def test_what_is_no_mask_is_one_line():
    for file, words in (
        (encoded(picture(4, 4)), r"m holds colours \(RGB\), not a class number"),
        (bytes_of(Image.fromarray(np.full((4, 4), 300, np.uint16))), "from 300 to 300, not classes from 0 to 254"),
        (encoded(np.array([[0.25, 0.75]], np.float32), "TIFF"), "numbers from 0.25 to 0.75, not classes"),
        (encoded(np.array([[np.nan, 1]], np.float32), "TIFF"), "numbers from nan to nan, not classes"),
        (encoded(np.array([[-1, 1]], np.int32), "TIFF"), "numbers from -1 to 1, not classes"),
        (pages(2), "the mask m holds 2 pages"),
        (b"no image", "the mask m cannot be read: no PNG, BMP or TIFF file"),
        (encoded(np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8))[:200], "the mask m cannot be read"),
    ):
        with pytest.raises(UsageError, match=words):
            decode_mask(file, "m")


def test_a_mask_that_has_gone_is_one_line(tmp_path):
    fill(tmp_path, ["a.jpg"])
    put(tmp_path, ["a_mask.png"])
    source = open_data(tmp_path).train
    (tmp_path / "a_mask.png").unlink()
    with pytest.raises(UsageError, match=r"a_mask\.png cannot be read: No such file"):
        source.mask(0)
