"""Which images of a folder are for training and which for testing, in any case and within an archive's folder."""

import pytest

from tests.data.making import fill
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation.split import labelled_splits


def names(source):
    return [source.name(index) for index in range(len(source))]


@pytest.mark.parametrize(
    "parts", [("train", "test"), ("Train", "Test"), ("Training", "Testing"), ("Training", "VAL"), ("TRAIN", "Valid")]
)
@pytest.mark.parametrize("around", ["", "chest_xray/", "images/", "archive/Images/"])
def test_parts_are_found_in_any_case_and_in_the_folder_of_an_archive(around, parts, tmp_path):
    fill(tmp_path, [f"{around}{parts[0]}/{name}.png" for name in ("cat/1", "dog/1")])
    fill(tmp_path, [f"{around}{parts[1]}/cat/2.png", "__MACOSX/._other.png"])
    data = open_data(tmp_path)
    assert (names(data.train), names(data.test)) == (["cat/1.png", "dog/1.png"], ["cat/2.png"])
    assert (data.train.classes, list(data.test.labels), data.notes) == (["cat", "dog"], [0], ())


def test_classes_are_found_in_the_folder_of_an_archive_and_paths_stay_as_they_are(tmp_path):
    fill(tmp_path, ["EuroSAT/2750/River/1.jpg", "EuroSAT/2750/Forest/1.jpg"])
    source = open_data(tmp_path).train
    assert (names(source), source.classes) == (
        ["EuroSAT/2750/Forest/1.jpg", "EuroSAT/2750/River/1.jpg"],
        ["Forest", "River"],
    )
    fill(tmp_path / "one", ["scratches/1.jpg", "scratches/2.jpg"])
    assert open_data(tmp_path / "one").train.classes == ["scratches"]
    with pytest.raises(UsageError, match="all of one class: there is nothing to tell apart"):
        labelled_splits(open_data(tmp_path / "one"))
    fill(tmp_path / "part", ["train/images/cat/1.jpg", "train/images/dog/1.jpg", "test/images/cat/2.jpg"])
    data = open_data(tmp_path / "part")
    assert (data.train.classes, list(data.test.labels)) == (["cat", "dog"], [0])


def test_a_folder_of_all_images_is_no_class_if_it_is_called_so(tmp_path):
    """As in Tiny ImageNet, whose test part has no class folders: its training part is scored on held-out images."""
    fill(tmp_path, [f"train/{name}/images/{number}.jpg" for name in ("cat", "dog") for number in range(5)])
    fill(tmp_path, ["val/images/1.jpg", "val/images/2.jpg"])
    data = open_data(tmp_path)
    assert (data.train.classes, data.test.labels, data.mismatch) == (["cat", "dog"], None, "")
    train, test, _ = labelled_splits(data)
    assert (len(train), len(test)) == (8, 2)
    assert open_data(tmp_path / "val").notes == ()


def test_the_test_part_is_the_first_that_can_be_scored(tmp_path):
    fill(tmp_path, ["train/cat/1.png", "train/dog/1.png", "val/dog/2.png"])
    (tmp_path / "test").mkdir()
    assert names(open_data(tmp_path).test) == ["dog/2.png"]  # test is empty
    fill(tmp_path, ["test/unknown/3.png"])
    data = open_data(tmp_path)
    assert names(data.test) == ["dog/2.png"]  # its images have no label of the training part
    assert data.notes == ("images beside train and val are left out (test 1): name their folder to use them",)
    fill(tmp_path, ["test/cat/3.png"])
    assert names(open_data(tmp_path).test) == ["cat/3.png", "unknown/3.png"]
    fill(tmp_path / "plain", ["train/1.png", "test/notes.txt", "val/3.png"])
    assert names(open_data(tmp_path / "plain").test) == ["3.png"]
    fill(tmp_path / "plain", ["test/2.png"])
    assert names(open_data(tmp_path / "plain").test) == ["2.png"]


def test_images_that_are_left_out_are_counted(tmp_path):
    fill(tmp_path, ["train/1.png", "test/2.png", "unlabeled/3.png", "unlabeled/deep/4.png", "more/5.png"])
    fill(tmp_path, ["masks/train/1.png"])
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (1, 1)
    assert data.notes == (
        "images beside train and test are left out (more 1, unlabeled 2): name their folder to use them",
    )
