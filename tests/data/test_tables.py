"""A table of image files: which column is for what, which file a value stands for, and what is left out."""

import numpy as np
import pytest
from PIL import Image

from tests.data.making import fill
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation.split import HELD_OUT, OWN_PART, labelled_splits

CATS_AND_DOGS = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(5)]


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows))
    return path


def listed(source):
    """Each image's name and class."""
    labels = [None] * len(source) if source.labels is None else [source.classes[label] for label in source.labels]
    return [(source.name(index), label) for index, label in enumerate(labels)]


def test_a_table_says_of_the_same_images_what_class_folders_say(tmp_path):
    fill(tmp_path / "named", CATS_AND_DOGS)
    fill(tmp_path / "loose", [f"{number}.jpg" for number in range(10)])
    rows = [f"{number}.jpg,{name.split('/')[0]}" for number, name in enumerate(CATS_AND_DOGS)]
    folders, data = open_data(tmp_path / "named"), open_data(table(tmp_path / "loose" / "t.csv", "path,label", *rows))
    assert (list(data.train.labels), data.train.classes) == (list(folders.train.labels), folders.train.classes)
    assert [data.train.image(i).tobytes() for i in range(10)] == [folders.train.image(i).tobytes() for i in range(10)]
    train, test, how = labelled_splits(data)
    assert (len(train), listed(test), how) == (8, [("4.jpg", "cat"), ("9.jpg", "dog")], HELD_OUT)
    assert data.notes == ()


@pytest.mark.parametrize(
    "rows",
    [
        ("path,label", "images/a/1.jpg,x", "images/b/1.jpg,y"),
        ("label\tfile_name", "x\ta/1.jpg", "y\tb/1.jpg"),
        ("\ufeffCLASS;Image ", "x;a/1;", "y;b/1"),  # as spreadsheets write it; without the ending of files
        ("id,photo,diagnosis?,label", "1,./images/a/1.jpg,p,x", "2,./images/b/1.jpg,q,y"),
        ("where,label", "/home/ann/set/images/a/1.jpg,x", "/home/ann/set/images/b/1.jpg,y"),  # of another machine
        ("where,label", "images\\a\\1.jpg,x", "images\\b\\1.jpg,y"),
        ("where,label", '"images/a/1.jpg","x"', "", "images/b/1.jpg, y"),
    ],
)
def test_columns_are_found_by_what_they_hold(rows, tmp_path):
    fill(tmp_path, ["images/a/1.jpg", "images/b/1.jpg"])
    data = open_data(table(tmp_path / "t.csv", *rows))
    assert listed(data.train) == [("images/a/1.jpg", "x"), ("images/b/1.jpg", "y")]
    assert data.notes == ()


def test_a_column_by_another_name_has_the_labels_if_it_is_the_only_one_and_a_value_recurs(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    species = table(tmp_path / "a.csv", "image,species", "3,wren", "1,owl", "2,owl")
    assert listed(open_data(species).train) == [("3.jpg", "wren"), ("1.jpg", "owl"), ("2.jpg", "owl")]
    for number, rows in enumerate((("image,size", "1,10", "2,11"), ("image,species,place", "1,owl,x", "2,owl,x"))):
        data = open_data(table(tmp_path / f"{number}.csv", *rows))
        assert data.train.labels is None
        with pytest.raises(UsageError, match=r"no column of .* is called label, so no image has one .columns: image, "):
            labelled_splits(data)


def test_numbers_of_rows_are_not_taken_for_files(tmp_path):
    """A data frame's index 0, 1, ... could name 0.jpg, 1.jpg, ... as well."""
    fill(tmp_path, [f"{number}.jpg" for number in range(4)])
    shuffled = table(tmp_path / "t.csv", ",path,label", *(f"{n},{3 - n}.jpg,{'ab'[n % 2]}" for n in range(4)))
    assert listed(open_data(shuffled).train) == [("3.jpg", "a"), ("2.jpg", "b"), ("1.jpg", "a"), ("0.jpg", "b")]


def test_a_file_is_never_guessed(tmp_path):
    """Neither one of two that have the name, nor one in another folder than the table says."""
    fill(tmp_path, ["a/1.jpg", "b/1.jpg", "test/2.jpg", "3.jpg"])
    data = open_data(table(tmp_path / "t.csv", "path,label", "1.jpg,x", "train/2.jpg,y", "3.jpg,z"))
    assert listed(data.train) == [("3.jpg", "z")]
    assert data.notes == (
        f"2 of 3 rows of {tmp_path}/t.csv name no image, as the first: 1.jpg",
        f"3 of 4 images are not named in {tmp_path}/t.csv and are left out",
    )


def test_parts_are_those_that_folders_name(tmp_path):
    fill(tmp_path, [f"{number}.jpg" for number in range(7)])
    rows = ["0,a,Train", "1,b,Train", "2,,test", "3,,test", "4,a,val", "5,b,val", "6,a,extra"]
    data = open_data(table(tmp_path / "t.csv", "image,label,split", *rows))
    train, test, how = labelled_splits(data)  # the first test part that can be scored
    assert (listed(train), listed(test), how) == (
        [("0.jpg", "a"), ("1.jpg", "b")], [("4.jpg", "a"), ("5.jpg", "b")], OWN_PART,
    )  # fmt: skip
    assert data.notes == ("images of other parts are left out (test 2, extra 1)",)
    one = open_data(table(tmp_path / "one.csv", "image,label,split", *(row for row in rows if "Train" in row)))
    assert (len(one.train), one.test) == (2, None)


def test_images_without_a_label_are_learned_from_and_not_scored(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    data = open_data(table(tmp_path / "t.csv", "path,label", "1.jpg,a", "2.jpg,", "3.jpg,b", "3.jpg,a"))
    assert len(data.train) == 3
    with pytest.raises(UsageError, match=r"no image has a label: 1 of 3 rows have none .2.jpg."):
        labelled_splits(data)
    assert f"1 of 4 rows of {tmp_path}/t.csv name an image again and are left out" in data.notes


def test_masks_beside_the_images_are_theirs(tmp_path):
    fill(tmp_path, ["set/images/1.jpg", "set/images/2.jpg"])
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "set" / "masks" / "2.png")
    source = open_data(table(tmp_path / "t.csv", "path,label", "2.jpg,a", "1.jpg,b")).train
    assert (list(source.masked), source.mask(0).sum(), source.mask(1)) == ([0], 16, None)


def test_only_the_folder_of_the_images_is_looked_through(tmp_path):
    fill(tmp_path, ["a/1.jpg", "a/2.jpg", "b/3.jpg"])
    data = open_data(table(tmp_path / "t.csv", "path,label", "a/1.jpg,x", "a/2.jpg,y"))
    assert (listed(data.train), data.notes) == ([("a/1.jpg", "x"), ("a/2.jpg", "y")], ())


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("path,label", "9.jpg,a"), "no column of .*t.csv names images in .* .columns: path, label.: a table lies in"),
        (("1.jpg,a", "2.jpg,b"), "the first row of .*t.csv must name its columns, and not an image: 1.jpg, a"),
        (("path,label",), "is no table: it has a row of names and one for each image at least"),
        (("",), "is no table"),
        (("path,label", '"' + "x" * 200_000 + '",a'), "cannot be read as a table: field larger than field limit"),
    ],
)
def test_what_is_no_table_of_images_is_refused(rows, reason, tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg"])
    with pytest.raises(UsageError, match=reason):
        open_data(table(tmp_path / "t.csv", *rows))


def test_names_that_are_no_text(tmp_path):
    fill(tmp_path, [b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), "2.jpg"])
    (tmp_path / "t.csv").write_bytes(b"path,label\ncaf\xe9.jpg,a\n2.jpg,b\n")
    (tmp_path / "u.csv").write_text("path,label\ncaf\\xe9.jpg,a\n2.jpg,b\n")  # as embed writes them
    for name in ("t.csv", "u.csv"):
        assert listed(open_data(tmp_path / name).train) == [("caf\\xe9.jpg", "a"), ("2.jpg", "b")]


@pytest.mark.parametrize("names", [("1.jpg",), ("train/1.jpg", "test/2.jpg"), ("all/1.jpg", "all/2.jpg")])
def test_a_table_beside_images_without_labels_is_mentioned(names, tmp_path):
    fill(tmp_path, names)
    path = table(tmp_path / "all.csv", "path,label", "1.jpg,a")
    assert open_data(tmp_path).notes == (f"labels may be in {path}: to use them, name it in place of the folder",)
    fill(tmp_path / "cats", CATS_AND_DOGS)
    table(tmp_path / "cats" / "all.csv", "path,label")
    assert open_data(tmp_path / "cats").notes == ()
