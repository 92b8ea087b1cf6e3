"""Embedding: one vector an image, in memory and streamed; killed anywhere, the file is the same to the byte."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import twofold
from tests.conftest import encoded, picture, resolved
from tests.killing import in_a_child
from tests.together import commanded
from twofold.data.opening import open_data
from twofold.encoding import crops
from twofold.encoding import dense as dense_features
from twofold.encoding.crops import central_crop
from twofold.encoding.encoder import Encoder
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.outputs import embed as embedding
from twofold.outputs import rows, vectors
from twofold.recipe import toml
from twofold.run import Run
from twofold.storage import locks
from twofold.storage.names import unescaped

ROOT = Path(__file__).parents[2]


ODD = ["plain", 'with "quotes"', "comma, here", "new\nline", "Grüße, 猫 🙂", "'", ";\ttab", "a" * 200]


@pytest.fixture
def small_pieces(monkeypatch):
    """Several batches a piece and several pieces from few images."""
    monkeypatch.setattr(crops, "BATCH", 16)
    monkeypatch.setattr(embedding, "PIECE", 32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """70 training and 20 test images in classes with odd names; two of them cannot be read."""
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 70), ("test", 20)):
        for number in range(count):
            kind = root / part / ODD[number % len(ODD)]
            kind.mkdir(parents=True, exist_ok=True)
            file = b"no image" if (part, number) in (("train", 40), ("test", 3)) else encoded(picture(9, 8, number))
            (kind / f"{ODD[number % 7]} {number}.png").write_bytes(file)
    return root


def plainly(run, data):
    """Names, labels and vectors of every readable image, one at a time."""
    names, labels, found = [], [], []
    opened = open_data(data)
    encoder = Encoder(run.backbone(), run.spec, torch.device("cpu"))
    for part, source in (("train/", opened.train), ("test/", opened.test)) if opened.test else (("", opened.train),):
        for number in range(len(source)):
            try:
                crop = central_crop(source, number, run.spec.size).pixels
            except Exception:
                continue
            names.append(part + source.name(number))
            labels.append(source.classes[source.labels[number]] if source.labels else None)
            found.append(encoder(crop[None])[0].numpy())
    return names, labels, np.stack(found)


def test_names_of_rows_of_a_table_are_the_tables(finished, tmp_path):
    for number in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{number}.png").write_bytes(encoded(picture(9, 8, number)))
    rows = [f"images/{number}.png,{'test' if number % 2 else 'train'}" for number in range(4)]
    (tmp_path / "all.csv").write_text("\n".join(["path,split", *rows]))
    names = [f"images/{number}.png" for number in (0, 2, 1, 3)]
    assert twofold.embed(finished, tmp_path / "all.csv").names == names
    twofold.embed(finished, tmp_path / "all.csv", tmp_path / "v.parquet")
    assert pq.read_table(tmp_path / "v.parquet")["path"].to_pylist() == names


def test_in_memory_and_streamed_vectors_are_the_encoders(finished, photos, small_pieces, tmp_path):
    names, labels, expected = plainly(finished, photos)
    assert len(names) == 88
    embedded = twofold.embed(finished, photos)
    assert (embedded.names, embedded.labels) == (names, labels)
    np.testing.assert_allclose(embedded.vectors, expected, rtol=1e-4, atol=1e-5)  # a batch sums in another order
    assert [reason for _, reason in embedded.unreadable] == ["not an image"] * 2

    told = []
    written = twofold.embed(finished, photos, tmp_path / "v.parquet", tell=lambda *what: told.append(what))
    assert (written.vectors, written.features, written.images, written.before) == (88, 16, 90, 0)
    assert written.unreadable == embedded.unreadable
    assert told == [("train images", n, 70) for n in (16, 32, 48, 64, 70)] + [("test images", n, 20) for n in (16, 20)]
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.schema.names == ["path", "label", "vector"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 16)
    assert (table["path"].to_pylist(), table["label"].to_pylist()) == (names, labels)
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(flat.reshape(-1, 16), embedded.vectors)
    groups = pq.read_metadata(tmp_path / "v.parquet")
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [32, 31, 6, 19]

    twofold.embed(finished, photos, tmp_path / "v.npy")
    streamed = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert (streamed.dtype, streamed.shape) == (np.float32, (88, 16))
    np.testing.assert_array_equal(streamed, embedded.vectors)
    with open(tmp_path / "v.index.csv", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["path", "label"]
    assert [tuple(line) for line in lines] == list(zip(names, labels, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.index.csv", "v.npy", "v.npy.json", "v.parquet"]


def test_images_without_labels(finished, tmp_path):
    np.save(tmp_path / "images.npy", np.stack([picture(8, 8, i) for i in range(5)]))
    assert twofold.embed(finished, tmp_path / "images.npy").labels == [None] * 5
    twofold.embed(finished, tmp_path / "images.npy", tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["path"].to_pylist() == [f"row {i}" for i in range(5)]
    assert table["label"].null_count == 5
    twofold.embed(finished, tmp_path / "images.npy", tmp_path / "v.npy")
    assert (tmp_path / "v.index.csv").read_text().splitlines()[:2] == ['"path","label"', '"row 0",']


def test_names_that_are_no_text(finished, tmp_path):
    """A file's name need not be UTF-8; what stands for it in the file is a text, of which it can be made again."""
    (tmp_path / "photos").mkdir()
    names = [b"caf\xe9.png", b"caf\\xe9.png", b"two\nlines\x1b[31m.png"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path / "photos") + b"/" + name)).write_bytes(encoded(picture(8, 8)))
    subprocess.run(["tar", "-cf", tmp_path / "photos.tar", "-C", tmp_path, "photos"], check=True)
    for data, before in (("photos", ""), ("photos.tar", "photos/")):
        for out in (tmp_path / f"{data}.parquet", tmp_path / f"{data}.npy"):
            twofold.embed(finished, tmp_path / data, out)
        written = pq.read_table(tmp_path / f"{data}.parquet")["path"].to_pylist()
        assert {os.fsencode(unescaped(name)) for name in written} == {os.fsencode(before) + name for name in names}
        assert before + r"two\x0alines\x1b[31m.png" in written
        with open(tmp_path / f"{data}.index.csv", encoding="utf-8") as file:
            assert [row["path"] for row in csv.DictReader(file)] == written


@pytest.fixture(scope="module")
def killed(finished, photos, tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.outputs.embed_driver", finished.path, photos, root]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "before.txt"}


@pytest.mark.parametrize("ending", vectors.ENDINGS)
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(ending, killed):
    root, said = killed[0] / ending, killed[1][ending]
    expected = contents(root / "straight")
    names = ["vectors.parquet"] if ending == ".parquet" else ["vectors.index.csv", "vectors.npy", "vectors.npy.json"]
    assert sorted(expected) == names
    for name, codes in said["codes"].items():
        assert codes == ([0] if name in ("straight", "again and again") else [-signal.SIGKILL, 0]), name
        assert contents(root / name) == expected, name  # and nothing else is left
    assert len(said["codes"]) == 13
    kept = {"before the first piece": 0, "after a piece's rename": 64, "between the parts": 70, "before the whole": 90}
    assert {name: said["before"][name] for name in kept} == kept


def interrupted(run, data, target, after, **words):
    """Embed, but stop with Ctrl-C after so many batches."""
    seen = []

    def stop(*what):
        seen.append(what)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        twofold.embed(run, data, target, tell=stop, **words)
    return target.with_name(target.name + ".partial")


@pytest.mark.parametrize("damage", ["truncated", "empty", "a flipped bit"])
def test_a_damaged_piece_is_computed_again(damage, finished, photos, small_pieces, tmp_path):
    twofold.embed(finished, photos, tmp_path / "expected.parquet")
    folder = interrupted(finished, photos, tmp_path / "v.parquet", after=6)
    first = min(folder.glob("*.parquet"))
    content = first.read_bytes()
    middle = content.index(b"quotes")  # in a page of names
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    first.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "a flipped bit": flipped}[damage])
    told = []
    written = twofold.embed(finished, photos, tmp_path / "v.parquet", tell=lambda *what: told.append(what))
    assert written.before == 38
    assert told == [
        ("train images", 16, 70),
        ("train images", 32, 70),
        ("test images", 16, 20),
        ("test images", 20, 20),
    ]
    assert (tmp_path / "v.parquet").read_bytes() == (tmp_path / "expected.parquet").read_bytes()


def test_an_unreadable_image_remains_left_out(finished, photos, small_pieces, tmp_path, monkeypatch):
    """What an earlier call could not read is named by the one that ends, whatever has become of it."""
    interrupted(finished, photos, tmp_path / "v.parquet", after=5)
    expected = twofold.embed(finished, photos).unreadable
    tried = []
    monkeypatch.setattr(crops, "central_crop", lambda *about: tried.append(0) or central_crop(*about))
    written = twofold.embed(finished, photos, tmp_path / "v.parquet")
    assert written.before == 64
    assert len(tried) == 6 + 20
    assert written.unreadable == expected


def test_what_is_done_is_not_done_again(finished, photos, tmp_path, monkeypatch):
    target = tmp_path / "v.npy"
    first = twofold.embed(finished, photos, target)
    before = contents(tmp_path)
    with monkeypatch.context() as nothing_is_decoded:
        nothing_is_decoded.setattr(rows, "read_ahead", None)
        again = twofold.embed(finished, photos, target)
    assert (again.vectors, again.unreadable, again.before) == (first.vectors, first.unreadable, 90)
    assert contents(tmp_path) == before
    assert first.notes == again.notes == ()
    other = twofold.embed(finished, "digits", target)  # other data: a whole file is replaced, which is said
    assert other.notes == ("it took the place of vectors of another backbone or of other images",)
    assert len(np.load(target)) == 1797
    target.write_bytes(b"")
    (tmp_path / "v.npy.json").unlink()  # not by us
    twofold.embed(finished, photos, target)
    assert contents(tmp_path) == before


def test_a_replaced_image_is_embedded_again(finished, tmp_path):
    """Also one of the same name and size, and of the same time, as a program may set it."""
    path = tmp_path / "photos" / "b.bmp"
    path.parent.mkdir()
    for seed, name in enumerate("abc"):
        path.with_name(f"{name}.bmp").write_bytes(encoded(picture(8, 8, seed), "BMP"))
    first = twofold.embed(finished, tmp_path / "photos", tmp_path / "v.parquet")
    again = twofold.embed(finished, tmp_path / "photos", tmp_path / "v.parquet")
    assert (first.before, again.before) == (0, 3)
    time = path.stat().st_mtime_ns
    path.write_bytes(encoded(picture(8, 8, 9), "BMP"))
    os.utime(path, ns=(time, time))
    assert twofold.embed(finished, tmp_path / "photos", tmp_path / "v.parquet").before == 0


def test_what_another_command_left_unfinished_is_refused(finished, photos, small_pieces, tmp_path):
    target = tmp_path / "v.parquet"
    interrupted(finished, photos, target, after=3)
    with pytest.raises(
        UsageError, match=r"v\.parquet\.partial holds .* other data: remove it, or choose another --out"
    ):
        twofold.embed(finished, "digits", target)
    other = Run(tmp_path / "other")
    other.path.mkdir()
    (other.path / "recipe.toml").write_bytes((finished.path / "recipe.toml").read_bytes())
    other.write_backbone(finished.untrained(), finished.spec)
    with pytest.raises(UsageError, match="other backbone"):
        twofold.embed(other, photos, target)
    with locks.locked(tmp_path / ".v.parquet.lock", target), pytest.raises(UsageError, match="another process"):
        twofold.embed(finished, photos, target)
    assert twofold.embed(finished, photos, target).before == 32


def test_changed_labels_are_other_data(finished, small_pieces, tmp_path):
    """A file must not have half of its labels from before."""
    images = np.stack([picture(8, 8, i) for i in range(40)])
    np.savez(tmp_path / "d.npz", images=images, labels=np.zeros(40, int))
    interrupted(finished, tmp_path / "d.npz", tmp_path / "v.parquet", after=3)
    np.savez(tmp_path / "d.npz", images=images, labels=np.ones(40, int))
    with pytest.raises(UsageError, match="other data"):
        twofold.embed(finished, tmp_path / "d.npz", tmp_path / "v.parquet")


def test_what_cannot_be_written_is_said(finished, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no image")
    (tmp_path / "folder.npy").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for data, out, words in (
        ("digits", "v.npz", r"must end in \.parquet or \.npy"),
        ("digits", "none/v.npy", "no folder"),
        ("digits", "folder.npy", "is a folder"),
        (tmp_path / "bad", "v.npy", "not one of 1 images can be read"),
    ):
        with pytest.raises(UsageError, match=words):
            twofold.embed(finished, data, tmp_path / out)
    with pytest.raises(UsageError, match="not one of 1 images can be read"):
        twofold.embed(finished, tmp_path / "bad")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A run whose images of 96 pixels have 3 x 3 patches."""
    run = Run(tmp_path_factory.mktemp("dense") / "run")
    run.path.mkdir()
    (run.path / "recipe.toml").write_text(toml.dumps(resolved("simclr")))
    spec = BackboneSpec("test_resnet", {}, "default", 96, (0.5,) * 3, (0.5,) * 3, 96)
    run.write_backbone(spec.build(), spec)
    return run


def test_a_row_a_patch_with_its_place(dense, photos, small_pieces, tmp_path):
    found = twofold.embed(dense, photos, patches=True)
    written = twofold.embed(dense, photos, tmp_path / "p.parquet", patches=True)
    assert (written.vectors, written.features, written.images) == (88 * 9, 96, 90)
    whole = twofold.embed(dense, photos)
    assert found.names[::9] == whole.names
    assert found.labels == [label for label in whole.labels for _ in range(9)]
    assert found.unreadable == whole.unreadable
    np.testing.assert_allclose(found.vectors.reshape(88, 9, 96).mean(1), whole.vectors, atol=1e-5)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.schema.names == ["path", "label", "row", "column", "x", "y", "vector"]
    assert table["path"].to_pylist() == found.names
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(flat.reshape(-1, 96), found.vectors)
    for name in ("row", "column", "x", "y"):
        np.testing.assert_array_equal(table[name].to_numpy(), found.places[name])
    # The pictures have 9 rows of 8 pixels; the crop is the upper 8.
    first = [(place["row"].item(), place["column"].item()) for place in found.places[:9]]
    assert first == [(row, column) for row in range(3) for column in range(3)]
    np.testing.assert_allclose(found.places["x"][:3], (8 / 6, 4, 40 / 6), rtol=1e-6)
    np.testing.assert_allclose(found.places["y"][:9:3], (8 / 6, 4, 40 / 6), rtol=1e-6)

    twofold.embed(dense, photos, tmp_path / "p.npy", patches=True)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), found.vectors)
    with open(tmp_path / "p.index.csv", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["path", "label", "row", "column", "x", "y"]
    assert [(name, int(row), int(column)) for name, _, row, column, *_ in lines] == [
        (name, place["row"], place["column"]) for name, place in zip(found.names, found.places, strict=True)
    ]
    assert [float(line[5]) for line in lines] == pytest.approx(found.places["y"].tolist())


def test_patches_go_on_where_they_were_stopped(dense, photos, small_pieces, tmp_path, monkeypatch):
    monkeypatch.setattr(dense_features, "NUMBERS", 10 * 9 * 96)  # ten images at once, and a piece each time
    twofold.embed(dense, photos, tmp_path / "expected.parquet", patches=True)
    folder = interrupted(dense, photos, tmp_path / "v.parquet", after=4, patches=True)
    assert len(list(folder.glob("*.parquet"))) == 3
    with pytest.raises(UsageError, match="other rows: remove it, or choose another --out"):
        twofold.embed(dense, photos, tmp_path / "v.parquet")
    assert twofold.embed(dense, photos, tmp_path / "v.parquet", patches=True).before == 30
    assert (tmp_path / "v.parquet").read_bytes() == (tmp_path / "expected.parquet").read_bytes()
    groups = pq.read_metadata(tmp_path / "v.parquet")
    assert [groups.row_group(i).num_rows for i in range(4)] == [90, 90, 90, 90]
    assert twofold.embed(dense, photos, tmp_path / "v.parquet", patches=True).before == 90
    assert twofold.embed(dense, photos, tmp_path / "v.parquet").before == 0  # images are something else


PEAK = """
import resource, sys
import numpy as np, torch
import twofold
from twofold.nets.backbone import BackboneSpec
from twofold.recipe import toml
from twofold.run import Run
from tests.conftest import resolved
torch.set_num_threads(1)
root, images = sys.argv[1], int(sys.argv[2])
spec = BackboneSpec("tests.networks:wide", {}, "default", 8, (0.5,) * 3, (0.5,) * 3, 1024)
run = Run(root)
run.path.mkdir()
(run.path / "recipe.toml").write_text(toml.dumps(resolved("simclr")))
run.write_backbone(spec.build(), spec)
np.save(f"{root}/images.npy", np.random.default_rng(0).integers(0, 256, (images, 8, 8, 3), np.uint8))
for name in ("v.parquet", "v.npy"):
    written = twofold.embed(run, f"{root}/images.npy", f"{root}/{name}")
    assert (written.vectors, written.features) == (images, 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def test_memory_does_not_grow_with_the_data(tmp_path):
    """The peak of a process that writes five times as many vectors, 67 MB more, grows by less than a third of that."""
    peaks = []
    for images in (4096, 20480):
        command = [sys.executable, "-c", PEAK, tmp_path / str(images), str(images)]
        environment = {**os.environ, "TWOFOLD_PERMIT": "tests.networks"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(re.search(r"\d+", done.stdout)[0]))
    assert peaks[1] - peaks[0] < 20e6, peaks


def test_a_second_one_to_the_same_file_says_so(finished, photos, small_pieces, tmp_path):
    """While the first is at work, in a process of its own; afterwards no lock is left."""
    target, said = tmp_path / "v.parquet", []

    def second(*_):
        if not said:
            said.append(in_a_child(again))

    def again():
        with pytest.raises(UsageError, match=rf"^another process is at work on {re.escape(str(target))}$"):
            twofold.embed(finished, photos, target)

    twofold.embed(finished, photos, target, tell=second)
    assert said == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["v.parquet"]


def test_a_folder_of_pieces_that_is_a_link_is_refused(finished, photos, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "v.npy.partial").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="is a symbolic link"):
        twofold.embed(finished, photos, tmp_path / "v.npy")
    assert list((tmp_path / "precious").iterdir()) == []


def take_small_pieces(rank):
    crops.BATCH, embedding.PIECE = 16, 32


def take_small_pieces_in_folders(rank, folders):
    take_small_pieces(rank)
    os.chdir(folders[rank])


@pytest.mark.parametrize("name", ["v.parquet", "v.npy"])
def test_several_processes_write_what_one_does(name, finished, photos, tmp_path):
    """To the byte, also where an earlier call was killed; said once."""
    written = []
    for world in (1, 2, 4):
        out = tmp_path / str(world) / name
        out.parent.mkdir()
        codes, said, results = commanded(world, ["embed", finished.path, photos, "--out", out], take_small_pieces)
        assert (codes, said, len(results)) == ([0] * world, [], 1)
        assert "88 vectors" in results[0]
        written.append({path.name: path.read_bytes() for path in out.parent.iterdir()})
    assert written[0] == written[1] == written[2]


def test_a_folder_that_nodes_do_not_share_is_refused(finished, photos, tmp_path):
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for folder in folders:
        folder.mkdir()
    words = ["embed", finished.path, photos, "--out", "v.npy"]
    codes, said, _ = commanded(2, words, take_small_pieces_in_folders, folders)
    assert (codes, said) == ([2, 2], ["twofold: all processes must share the folder ."])
    assert not (folders[0] / "v.npy").exists()
