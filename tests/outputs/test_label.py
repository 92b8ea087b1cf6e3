"""Classes for images that have none: from vectors on the disk to a table."""

import csv

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

import twofold
from tests.cli.running import twofold as command
from twofold.errors import UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two kinds of images, dark and light ones, three of each with a label; the vectors of those and of ten others."""
    folder = tmp_path_factory.mktemp("label")
    for k in range(16):
        kind = ("dark", "light")[k % 2]
        pixels = np.random.default_rng(k).integers(0, 60, (24, 24, 3)) + 180 * (k % 2)
        path = folder / (f"labelled/{kind}" if k < 6 else "photos") / f"{kind}, {k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    for name, model in (("weights", "test_resnet"), ("others", "test_vit")):
        save_file(timm.create_model(model).state_dict(), folder / f"{name}.safetensors")
    for name in ("labelled", "photos"):
        for ending in ("parquet", "npy"):
            out = folder / f"{name}.{ending}"
            twofold.embed(folder / "weights.safetensors", folder / name, out=out, backbone="test_resnet")
    return folder


@pytest.mark.parametrize("ending", ["parquet", "npy"])
def test_the_others_get_the_right_class(made, ending, tmp_path, capsys):
    out = tmp_path / "classes.csv"
    words = ("label", made / f"labelled.{ending}", made / f"photos.{ending}", "--out", out)
    code, said, _ = command(capsys, *words)
    assert code == 0
    assert said.split() == f"wrote {out}: 10 images, each in one of 2 classes".split()
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["path"] for row in rows] == sorted(path.name for path in (made / "photos").iterdir())
    assert all(row["path"].startswith(row["class"]) and float(row["probability"]) > 0.5 for row in rows)


def test_one_table_of_all_images_of_which_some_have_a_label(made, tmp_path):
    """The vectors of all are labelled and others alike: those without a label are told by those with one."""
    paths = sorted(path.relative_to(made) for path in made.glob("*/**/*.png"))
    rows = [f'"{path}",{path.parent.name if "labelled" in path.parts else ""}' for path in paths]
    (made / "all.csv").write_text("\n".join(["path,label", *rows]))
    for out in (tmp_path / "all.parquet", tmp_path / "all.npy"):
        twofold.embed(made / "weights.safetensors", made / "all.csv", out=out, backbone="test_resnet")
        found = twofold.label(out, out)
        guessed = [found.classes[number] for number in found.probabilities.argmax(1)]
        assert guessed == [path.name.partition(",")[0] for path in paths]


def test_it_is_what_the_probe_of_arrays_says(made):
    found = twofold.label(made / "labelled.npy", made / "photos.parquet")
    own = [np.load(made / f"{name}.npy") for name in ("labelled", "photos")]
    same = twofold.probes.label_the_rest(own[0], ["dark"] * 3 + ["light"] * 3, own[1])
    assert found.classes == same.classes == ["dark", "light"]
    assert found.probabilities.equal(same.probabilities)
    assert found.probabilities.sum(1).allclose(found.probabilities.new_ones(10))


def test_what_cannot_be_labelled_is_said(made, tmp_path):
    labelled, photos = made / "labelled.parquet", made / "photos.parquet"

    def refused(match, one=labelled, two=photos, out=tmp_path / "classes.csv"):
        with pytest.raises(UsageError, match=match):
            twofold.label(one, two, out)
        assert not (tmp_path / "classes.csv").exists()

    refused(r"must be a file that ends in \.csv", out=photos)
    refused("there is no file .*missing.parquet", made / "missing.parquet")
    refused("no image in .*photos.parquet has a label: embed a folder", photos)
    other = tmp_path / "other.parquet"
    twofold.embed(made / "others.safetensors", made / "photos", out=other, backbone="test_vit")
    refused("are by different backbones: embed both by the same one", two=other)
    twofold.embed(made / "others.safetensors", made / "photos", out=other, backbone="test_vit", patches=True)
    refused("vectors of patches: embed the images without --patches", two=other)
    one_kind = tmp_path / "dark.parquet"
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "dark").symlink_to(made / "labelled" / "dark")
    twofold.embed(made / "weights.safetensors", tmp_path / "kinds", out=one_kind, backbone="test_resnet")
    refused("all of one class: there is nothing to tell apart", one_kind)
    half = tmp_path / "half.parquet"
    half.write_bytes(photos.read_bytes()[: photos.stat().st_size // 2])
    refused("half.parquet is not whole, or not a file that twofold embed has written", two=half)
    index = made / "photos.index.csv"
    had = index.read_bytes()
    refused("has the names of vectors that are read here", two=made / "photos.npy", out=index)
    assert index.read_bytes() == had
    for name in ("photos.index.csv", "photos.npy.json"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    (tmp_path / "photos.npy").touch()
    refused("photos.npy is not whole, or not a file that twofold embed has written", two=tmp_path / "photos.npy")
    foreign = tmp_path / "foreign.npy"
    np.save(foreign, np.ones((4, 8)))
    refused("foreign.npy is not whole, or not a file that twofold embed has written", two=foreign)
