"""What DATA may be, and how it falls into parts and classes."""

import numpy as np
import pytest

from tests.conftest import encoded, picture
from tests.data.making import fill, parquet, tar
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation.split import labelled_splits


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
        labelled_splits(open_data(tmp_path / "split"))


def test_what_is_a_part_and_what_a_class(tmp_path):
    fill(tmp_path / "rail", ["bus/1.png", "train/1.png", "car/1.png"])
    data = open_data(tmp_path / "rail")
    assert data.train.classes == ["bus", "car", "train"]
    assert data.test is None
    fill(tmp_path / "alone", ["train/cat/1.png", "train/dog/1.png", "notes/readme.txt"])
    assert open_data(tmp_path / "alone").train.classes == ["cat", "dog"]
    fill(tmp_path / "flat", ["train/1.png", "train/2.png"])
    assert open_data(tmp_path / "flat").train.labels is None
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


def test_images_that_lie_in_no_class_folder_are_why_none_has_a_label(tmp_path):
    fill(tmp_path / "some", ["cat/1.png", "dog/1.png", "loose.png", "more.png"])
    data = open_data(tmp_path / "some")
    assert data.train.labels is None
    (said,) = data.notes
    assert said == "no image has a label: class folders must hold all images, and 2 of 4 lie in none (loose.png)"
    with pytest.raises(UsageError, match=r"have no labels: .* 2 of 4 lie in none"):
        labelled_splits(data)


def test_folders_within_class_folders_name_no_class_and_that_is_said(tmp_path):
    fill(tmp_path, ["train/fruit/apple/1.png", "train/fruit/pear/1.png", "train/bread/1.png", "test/fruit/apple/2.png"])
    fill(tmp_path, ["test/fruit/pear/2.png", "test/bread/2.png"])
    data = open_data(tmp_path)
    assert data.train.classes == ["bread", "fruit"]
    assert data.notes == ("the 2 first folders name the classes; the 3 folders that hold the images name none",)
    fill(tmp_path / "one", ["ant/images/1.png", "bee/images/1.png"])
    assert open_data(tmp_path / "one").notes == ()


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
    with pytest.raises(UsageError, match="names 2 files"):
        open_data(f"{tmp_path}/{{0..1}}.npz")


def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("text")
    (tmp_path / "x.zip").write_bytes(b"PK")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "data-00000-of-00001.arrow").write_bytes(b"")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name, word in (
        (tmp_path / "empty", "no images"),
        (tmp_path / "nowhere", "nowhere"),
        (tmp_path / "x.txt", "neither a folder nor a .csv"),
        (tmp_path / "x.zip", "npy file; unpack it first"),
        (
            tmp_path / "saved",
            r"no images in .*; Arrow files of Hugging Face's library are not read: save them as Parquet",
        ),
        ("digit", "digits"),
        ("torchvision:CIFAR11", "CIFAR10"),
        ("hf:nobody/nothing", "nobody/nothing"),
    ):
        with pytest.raises(UsageError, match=word) as raised:
            open_data(name)
        assert "\n" not in str(raised.value)
