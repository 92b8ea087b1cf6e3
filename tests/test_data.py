"""Sources, odd images, scanning; the loader's promises."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.conftest import encoded, picture
from twofold.augment import Views
from twofold.data import loader as loading
from twofold.data.decode import Unreadable, decode, size_of
from twofold.data.loader import MicroBatch, Plan, Resident, Streamed, decode_all
from twofold.data.opening import open_data
from twofold.data.scan import scan
from twofold.data.sources import Array, Subset
from twofold.errors import UsageError
from twofold.evaluation.evaluate import parts_for_evaluation

CPU = torch.device("cpu")


# -- odd images -------------------------------------------------------------------------------------------------------


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
    assert size_of(file) == (20, 30)


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


# -- sources ----------------------------------------------------------------------------------------------------------


def fill(root, names, size=16):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(size, size, number), "JPEG" if name.endswith("jpg") else "PNG"))


def test_folders(tmp_path):
    fill(tmp_path / "plain", ["b.png", "a.JPG".lower(), "deep/er/c.png", ".hidden.png"])
    (tmp_path / "plain" / "notes.txt").write_text("no image")
    data = open_data(tmp_path / "plain")
    assert len(data.train) == 3
    assert data.train.labels is None
    assert data.train.name(0) == "a.jpg"
    fill(tmp_path / "classes", ["cat/1.png", "dog/1.png", "cat/2.png"])
    data = open_data(tmp_path / "classes")
    assert data.train.classes == ["cat", "dog"]
    assert list(data.train.labels) == [0, 0, 1]
    assert data.test is None
    fill(tmp_path / "split", ["train/ant/1.png", "train/bee/1.png", "train/cow/1.png", "test/cow/9.png"])
    data = open_data(tmp_path / "split")
    assert data.test.classes == ["ant", "bee", "cow"]
    assert list(data.test.labels) == [2]  # numbered as in the training part, though two classes are missing
    fill(tmp_path / "split", ["test/dog/9.png"])
    assert "dog" in open_data(tmp_path / "split").mismatch  # no matter unless labels are asked for
    with pytest.raises(UsageError, match="dog"):
        parts_for_evaluation(open_data(tmp_path / "split"), "split")


def test_what_is_a_part_and_what_a_class(tmp_path):
    fill(tmp_path / "rail", ["bus/1.png", "train/1.png", "car/1.png"])
    data = open_data(tmp_path / "rail")
    assert data.train.classes == ["bus", "car", "train"]
    assert data.test is None
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / "hub" / "default" / split).mkdir(parents=True)
        parquet(tmp_path / "hub" / "default" / split / "0000.parquet", count)
    data = open_data(tmp_path / "hub")
    assert (len(data.train), len(data.test)) == (3, 2)
    tar(tmp_path / "hub2.tar", {"a.png": encoded(picture(8, 8))})
    (tmp_path / "tars").mkdir()
    for name in ("valley", "testimonials"):
        tar(tmp_path / "tars" / f"{name}.tar", {"a.png": encoded(picture(8, 8))})
    assert len(open_data(tmp_path / "tars").train) == 2


def test_folders_with_links_hidden_parts_and_stray_files(tmp_path):
    fill(tmp_path / "elsewhere", ["1.png"])
    fill(tmp_path / "mine", ["ant/1.png", ".thumbnails/1.png", "bee/.cache/2.png"])
    (tmp_path / "mine" / "cow").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine" / "ant" / "round").symlink_to(tmp_path / "mine")
    parquet(tmp_path / "mine" / "vectors.parquet", 1)
    data = open_data(tmp_path / "mine").train
    assert data.classes == ["ant", "cow"]
    assert len(data) == 2
    for name in ("0.npz", "1.npz"):
        np.savez(tmp_path / name, images=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(UsageError, match="2 places"):
        open_data(f"{tmp_path}/{{0..1}}.npz")


def test_names_need_not_be_utf8(tmp_path):
    import os

    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"no image")
    source = open_data(tmp_path).train
    assert scan(source).bad[0][0].encode("utf-8").startswith(b"caf")


def test_fingerprints_see_contents(tmp_path):
    """Uncompressed images of one size have files of one size."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.bmp").write_bytes(encoded(picture(8, 8, ord(folder)), "BMP"))
    first, second = (open_data(tmp_path / folder).train.fingerprint() for folder in ("a", "b"))
    assert first != second


@pytest.mark.parametrize(("kind", "orientation"), [("TIFF", 6), ("JPEG", 9), ("JPEG", 6)])
def test_sizes_are_told_as_decoded(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(COLOURS, kind, exif=exif)
    assert size_of(file) == decode(file).shape[1:]


def test_a_fingerprint_changes_with_the_data(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    before = open_data(tmp_path).train.fingerprint()
    assert open_data(tmp_path).train.fingerprint() == before
    fill(tmp_path, ["c.png"])
    assert open_data(tmp_path).train.fingerprint() != before


def tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_tar_shards(tmp_path):
    images = {name: encoded(picture(16, 16, i)) for i, name in enumerate("abcd")}
    for shard, keys in enumerate(("ab", "cd")):
        files = {f"{k}.png": images[k] for k in keys} | {f"{k}.cls": str(10 * i).encode() for i, k in enumerate(keys)}
        tar(tmp_path / f"shard-{shard:03d}.tar", files)
    data = open_data(f"{tmp_path}/shard-{{000..001}}.tar")
    assert [data.train.name(i) for i in range(4)] == ["a.png", "b.png", "c.png", "d.png"]
    assert np.array_equal(data.train.image(2), decode(images["c"]))
    assert list(data.train.labels) == [0, 1, 0, 1]
    assert data.train.classes == ["0", "10"]
    assert len(open_data(tmp_path).train) == 4  # a folder of shards
    tar(tmp_path / "names.tar", {"cat/1.png": images["a"], "dog/1.png": images["b"]})
    assert open_data(tmp_path / "names.tar").train.classes == ["cat", "dog"]
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(UsageError, match=r"broken\.tar"):
        open_data(tmp_path / "broken.tar")


def parquet(path, count, names=("cat", "dog"), start=0):
    images = [{"bytes": encoded(picture(16, 16, start + i)), "path": None} for i in range(count)]
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    table = pa.table({"image": images, "label": [i % 2 for i in range(count)]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_parquet(tmp_path):
    parquet(tmp_path / "train-00000-of-00002.parquet", 3)
    parquet(tmp_path / "train-00001-of-00002.parquet", 2, start=3)
    parquet(tmp_path / "test-00000-of-00001.parquet", 2, start=50)
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 2)
    assert data.train.classes == ["cat", "dog"]
    assert np.array_equal(data.train.image(4), np.moveaxis(picture(16, 16, 4), -1, 0))
    assert data.train.label(1) == 1
    pq.write_table(pa.table({"img": [encoded(picture(8, 8))], "text": ["x"]}), tmp_path / "bare.parquet")
    bare = open_data(tmp_path / "bare.parquet").train
    assert bare.labels is None
    assert bare.image(0).shape == (3, 8, 8)
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "none.parquet")
    with pytest.raises(UsageError, match=r"none\.parquet"):
        open_data(tmp_path / "none.parquet")


def test_large_parquet_is_mapped_from_the_cache(tmp_path, monkeypatch):
    parquet(tmp_path / "train-0.parquet", 3)
    parquet(tmp_path / "train-1.parquet", 2, start=3)
    small = open_data(tmp_path).train
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("twofold.data.encoded.IN_MEMORY", 0)
    for _ in range(2):  # made, then found
        mapped = open_data(tmp_path).train
        assert [mapped.read(i) for i in range(5)] == [small.read(i) for i in range(5)]
        assert mapped.labels == small.labels
        assert mapped.fingerprint() == small.fingerprint()
    assert len(list((tmp_path / "cache" / "parquet").iterdir())) == 1


def test_arrays(tmp_path):
    images = np.stack([picture(10, 12, i) for i in range(6)])
    np.save(tmp_path / "a.npy", images)
    assert np.array_equal(open_data(tmp_path / "a.npy").train.image(3), np.moveaxis(images[3], -1, 0))
    np.savez(
        tmp_path / "b.npz",
        train_images=images[..., 0],
        train_labels=np.arange(6)[:, None],
        test_images=images[:2, ..., 0],
    )
    data = open_data(tmp_path / "b.npz")
    assert data.train.image(0).shape == (3, 10, 12)
    assert list(data.train.labels) == [0, 1, 2, 3, 4, 5]
    assert len(data.test) == 2
    np.savez(tmp_path / "c.npz", x_train=np.moveaxis(images, -1, 1))
    assert open_data(tmp_path / "c.npz").train.image(0).shape == (3, 10, 12)
    np.save(tmp_path / "d.npy", images.astype(np.float32))
    with pytest.raises(UsageError, match="uint8"):
        open_data(tmp_path / "d.npy")
    np.savez(tmp_path / "e.npz", pictures=images)
    with pytest.raises(UsageError, match="pictures"):
        open_data(tmp_path / "e.npz")


def test_digits_are_there_without_a_network():
    data = open_data("digits")
    assert len(data.train) + len(data.test) == 1797
    assert data.train.image(0).shape == (3, 8, 8)
    assert max(data.train.image(i).max() for i in range(20)) == 255
    assert len(data.train.classes) == 10


def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("text")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name, word in (
        (tmp_path / "empty", "no images"),
        (tmp_path / "nowhere", "nowhere"),
        (tmp_path / "x.txt", "no folder"),
        ("digit", "digits"),
        ("torchvision:CIFAR11", "CIFAR10"),
        ("hf:nobody/nothing", "nobody/nothing"),
    ):
        with pytest.raises(UsageError, match=word) as raised:
            open_data(name)
        assert "\n" not in str(raised.value)


def test_torchvision_items(monkeypatch, tmp_path):
    """A data set of torchvision's kind, from its cache: items are (PIL image, label)."""
    import torchvision.datasets

    class Kept:
        def __init__(self, root, train, download):
            self.targets = [1, 0, 1] if train else [0]
            self.classes = ["no", "yes"]

        def __len__(self):
            return len(self.targets)

        def __getitem__(self, index):
            return Image.fromarray(picture(9, 9, index)), self.targets[index]

    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "Kept", Kept, raising=False)
    data = open_data("torchvision:Kept")
    assert (len(data.train), len(data.test)) == (3, 1)
    assert list(data.train.labels) == [1, 0, 1]
    assert np.array_equal(data.train.image(1), np.moveaxis(picture(9, 9, 1), -1, 0))


def test_scan(tmp_path):
    fill(tmp_path, ["cat/1.png", "cat/2.png", "dog/3.jpg"])
    whole = (tmp_path / "dog" / "3.jpg").read_bytes()
    (tmp_path / "dog" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "empty.png").write_bytes(b"")
    found = scan(open_data(tmp_path).train)
    assert found.images == 5
    assert dict(found.sizes) == {(16, 16): 3}
    assert [name for name, _ in found.bad] == ["dog/cut.jpg", "dog/empty.png"]
    assert "truncated" in found.bad[0][1].lower()
    assert found.classes == {"cat": 2, "dog": 3}


# -- the loader -------------------------------------------------------------------------------------------------------


def photos(count, height=40, width=52):
    return Array(np.stack([np.moveaxis(picture(height, width, i), -1, 0) for i in range(count)]))


class Breaking(Subset):
    """Some images of it cannot be read."""

    def __init__(self, source, broken):
        super().__init__(source, range(len(source)))
        self.broken = broken

    def image(self, index):
        if index in self.broken:
            raise Unreadable("broken")
        return super().image(index)


VIEWS = Views(32, small_crops=1, small_size=16)


def parts(steps, rows):
    return [MicroBatch(step, rows) for step in steps]


def test_every_epoch_has_every_image_once():
    plan = Plan(images=10, batch=5, seed=3)
    epochs = [torch.cat([plan.indices(step) for step in steps]).tolist() for steps in ((0, 1), (2, 3))]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert plan.indices(3).tolist() == Plan(10, 5, 3).indices(3).tolist()
    assert plan.indices(3).tolist() != Plan(10, 5, 4).indices(3).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_resident_and_streamed_give_the_same_crops(workers):
    """Up to the rounding of a crop to whole levels on its way from a worker, and of torch's integer resize."""
    source, plan = photos(12), Plan(12, 6, 0)
    pixels, sizes, _ = decode_all(source, 2, 0.1, print)
    resident = Resident(pixels, sizes, CPU).load(plan, VIEWS, parts(range(3), slice(0, 6)))
    streamed = Streamed(source, CPU, workers, 0.1, print).load(plan, VIEWS, parts(range(3), slice(0, 6)))
    for one, other in zip(resident, streamed, strict=True):
        assert torch.equal(one.index, other.index)
        for a, b in zip(one.crops, other.crops, strict=True):
            assert (a - b).abs().max() < 2.5 / 255
        assert all(
            torch.equal(x, y) for a, b in zip(one.draws, other.draws, strict=True) for x, y in zip(a, b, strict=True)
        )


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_process_gets_its_rows_of_the_same_batch(kind):
    source, plan = photos(12), Plan(12, 6, 0)

    def load(rows):
        if kind == "streamed":
            return list(Streamed(source, CPU, 0, 0.1, print).load(plan, VIEWS, parts(range(2), rows)))
        pixels, sizes, _ = decode_all(source, 2, 0.1, print)
        return list(Resident(pixels, sizes, CPU).load(plan, VIEWS, parts(range(2), rows)))

    for whole, half in zip(load(slice(0, 6)), load(slice(3, 6)), strict=True):
        assert torch.equal(whole.index[3:], half.index)
        for a, b in zip(whole.crops, half.crops, strict=True):
            torch.testing.assert_close(a[3:], b)


def test_starting_later_changes_nothing():
    source, plan = photos(12), Plan(12, 6, 0)
    stream = Streamed(source, CPU, 2, 0.1, print)
    all_steps = list(stream.load(plan, VIEWS, parts(range(4), slice(0, 6))))
    later = list(stream.load(plan, VIEWS, parts(range(2, 4), slice(0, 6))))
    for a, b in zip(all_steps[2:], later, strict=True):
        assert torch.equal(a.index, b.index)
        assert all(torch.equal(x, y) for x, y in zip(a.crops, b.crops, strict=True))


def test_unreadable_images_are_left_out_of_memory():
    said = []
    source = Breaking(photos(10), {3, 7})
    pixels, _, kept = decode_all(source, 2, 0.2, lambda name, reason: said.append((name, reason)))
    assert len(pixels) == 8
    assert kept == [0, 1, 2, 4, 5, 6, 8, 9]
    assert said == [("row 3", "broken"), ("row 7", "broken")]
    with pytest.raises(UsageError, match="2 of 10"):
        decode_all(source, 2, 0.1, lambda *_: None)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_replaced_when_streamed(workers):
    said = []
    source = Breaking(photos(10), {3})
    stream = Streamed(source, CPU, workers, 0.1, lambda name, reason: said.append((name, reason)))
    seen = torch.cat([crops.index for crops in stream.load(Plan(10, 5, 0), VIEWS, parts(range(4), slice(0, 5)))])
    assert sorted(seen.tolist()) == sorted([0, 1, 2, 4, 4, 5, 6, 7, 8, 9] * 2)
    assert said == [("row 3", "broken")]  # once, though it was met twice
    stream = Streamed(Breaking(photos(10), {3, 4, 5}), CPU, workers, 0.1, lambda *_: None)
    with pytest.raises(UsageError, match="2 of 10"):
        list(stream.load(Plan(10, 5, 0), VIEWS, parts(range(2), slice(0, 5))))


def test_large_sets_are_not_kept_in_memory(monkeypatch):
    source = Subset(photos(10, 100, 100), range(10))
    assert loading.fits_in_memory(source, 8, 2)
    monkeypatch.setattr(loading, "RESIDENT_BYTES", 10 * 3 * 100 * 100 - 1)
    assert not loading.fits_in_memory(source, 8, 2)
    monkeypatch.undo()
    monkeypatch.setattr(loading, "BATCH_BYTES", 5 * 8 * 3 * 100 * 100 - 1)
    assert not loading.fits_in_memory(source, 8, 2)
