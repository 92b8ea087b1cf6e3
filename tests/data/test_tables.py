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


def said(data):
    """What is said, but for the sentence about columns, which all tables have."""
    return data.notes[1:]


def test_a_table_says_of_the_same_images_what_class_folders_say(tmp_path):
    fill(tmp_path / "named", CATS_AND_DOGS)
    fill(tmp_path / "loose", [f"{number}.jpg" for number in range(10)])
    rows = [f"{number}.jpg,{name.split('/')[0]}" for number, name in enumerate(CATS_AND_DOGS)]
    folders, data = open_data(tmp_path / "named"), open_data(table(tmp_path / "loose" / "t.csv", "path,label", *rows))
    assert (list(data.train.labels), data.train.classes) == (list(folders.train.labels), folders.train.classes)
    assert [data.train.image(i).tobytes() for i in range(10)] == [folders.train.image(i).tobytes() for i in range(10)]
    train, test, how = labelled_splits(data)
    assert (len(train), listed(test), how) == (8, [("4.jpg", "cat"), ("9.jpg", "dog")], HELD_OUT)
    assert data.notes == (f"{tmp_path}/loose/t.csv has files in column path, labels in column label",)


@pytest.mark.parametrize(
    "rows",
    [
        ("path,label", "images/a/1.jpg,x", "images/b/1.JPG,y"),
        ("label\tfile_name", "x\ta/1.jpg", "y\tb/1.jpg"),
        ("\ufeffCLASS;Image ", "x;a/1;", "y;b/1"),  # as spreadsheets write it; without the ending of files
        ("sep=;", "where;label;size (mm, cm, in)", "a/1.jpg;x;1,2,3", "b/1.jpg;y;"),
        ("id,photo,diagnosis?,label", "1,./images/a/1.jpg,p,x", "2,./images/b/1.jpg,q,y"),
        ("where,label", "/home/ann/set/images/a/1.jpg,x", "/home/ann/set/images/b/1.jpg,y"),  # of another machine
        ("jpg,label", "images\\a\\1.jpg,x", "images\\b\\1.jpg,y"),
        ("where, label", '"images/a/1.jpg", "x"', "", ",", "images/b/1.jpg, y"),
        ("box,where,label", "1,a/1.jpg,x", "2,a/1.jpg,x", "3,b/1.jpg,y"),  # several rows for an image
    ],
)
def test_columns_are_found_by_what_they_hold(rows, tmp_path):
    fill(tmp_path, ["images/a/1.jpg", "images/b/1.JPG"])
    for encoding in ("utf-8", "utf-16"):
        path = table(tmp_path / "t.csv", *rows)
        path.write_text(path.read_text().removeprefix("\ufeff"), encoding)
        data = open_data(path)
        assert listed(data.train) == [("images/a/1.jpg", "x"), ("images/b/1.JPG", "y")]
        assert said(data) == ()


def test_a_column_by_another_name_has_the_labels_if_it_is_the_only_one_and_a_value_recurs(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    species = open_data(table(tmp_path / "a.csv", ",image,species", "0,3,wren", "1,1,owl", "2,2,owl"))
    assert listed(species.train) == [("3.jpg", "wren"), ("1.jpg", "owl"), ("2.jpg", "owl")]
    assert species.notes == (f"{tmp_path}/a.csv has files in column image, labels in column species",)
    for number, rows in enumerate((("image,size", "1.jpg,10", "2.jpg,11"), ("image,a,b", "1.jpg,x,y", "2.jpg,x,y"))):
        data = open_data(table(tmp_path / f"{number}.csv", *rows))
        assert data.train.labels is None
        with pytest.raises(UsageError, match=r"no column of .* is called label, so no image has one .columns: image, "):
            labelled_splits(data)


@pytest.mark.parametrize(
    "rows",
    [
        (",where,label", "0,train/3.jpg,a", "1,train/2.jpg,b", "2,train/1.jpg,a", "3,train/0.jpg,b"),
        ("index,where,label", "0,3.jpg,a", "1,2.jpg,b", "2,1.jpg,a", "3,0.jpg,b"),
        (",where,label", "0,3.jpg,a", "1,2.jpg,b", "2,9.jpg,a", "3,8.jpg,b"),  # of which some are not there
        ("where,age,label", "3.jpg,0,a", "2.jpg,1,b", "1.jpg,2,a", "0.jpg,3,b"),
    ],
)
def test_whole_numbers_are_not_taken_for_files(rows, tmp_path):
    """The index of a data frame, 0, 1, ..., could name 0.jpg, 1.jpg, ... as well."""
    fill(tmp_path, [f"{number}.jpg" for number in range(4)])
    found = listed(open_data(table(tmp_path / "t.csv", *rows)).train)
    assert found[:2] == [("3.jpg", "a"), ("2.jpg", "b")]
    assert set(found) <= {("3.jpg", "a"), ("2.jpg", "b"), ("1.jpg", "a"), ("0.jpg", "b")}


def test_a_file_is_never_guessed(tmp_path):
    """Neither one of two that have the name, nor one in another folder than the table says."""
    fill(tmp_path, ["a/1.jpg", "b/1.jpg", "test/2.jpg", "3.jpg", "4.png"])
    rows = ["1.jpg,x", "train/2.jpg,y", "3.jpg,z", "4.jpg,z", "03.jpg,z"]
    data = open_data(table(tmp_path / "t.csv", "path,label", *rows))
    assert listed(data.train) == [("3.jpg", "z")]
    assert said(data) == (
        f"4 of 5 rows of {tmp_path}/t.csv name no image, as the first: 1.jpg",
        f"4 of 5 images are not named in {tmp_path}/t.csv and are left out",
    )


@pytest.mark.parametrize(
    ("beginning", "other"), [("../images", "../other"), ("ROOT/images", "ROOT/other"), ("..\\images", "../other")]
)
def test_images_may_be_where_the_paths_lead(beginning, other, tmp_path):
    """From the table's folder or from the root; files of the same names in the table's folder are others."""
    fill(
        tmp_path, ["images/a/1.jpg", "images/b/2.jpg", "images/3.jpg", "other/4.jpg", "tables/a/1.jpg", "tables/5.jpg"]
    )
    beginning, other = (text.replace("ROOT", str(tmp_path)) for text in (beginning, other))
    rows = [f"{beginning}/b/2.jpg,y", f"{beginning}/a/1.jpg,x"]
    path = table(tmp_path / "tables" / "t.csv", "path,label", *rows, f"{beginning}/a/6.jpg,y")
    data = open_data(path)
    assert listed(data.train) == [("b/2.jpg", "y"), ("a/1.jpg", "x")]
    assert np.array_equal(data.train.image(1), open_data(tmp_path / "images").train.image(1))
    assert data.train.missing == [f"{beginning}/a/6.jpg"]
    assert data.notes[0].endswith(f"; its images are in {tmp_path}/images")
    table(path, "path,label", *rows, f"{other}/4.jpg,x", "5.jpg,y")
    names = ["images/b/2.jpg", "images/a/1.jpg", "other/4.jpg", "tables/5.jpg"]
    assert listed(open_data(path).train) == list(zip(names, "yxxy"))


def test_only_the_column_of_files_leads_anywhere(tmp_path):
    """The paths of thumbnails and masks do not, whether they lie beside the table or elsewhere."""
    fill(tmp_path, ["set/images/1.png", "thumbs/1.png", "masks/1.png"])
    beside = table(tmp_path / "set" / "t.csv", "photo,thumbnail,label", "images/1.png,../thumbs/1.png,x")
    assert listed(open_data(beside).train) == [("images/1.png", "x")]
    for name, other in (("path", "thumbs"), ("file_name", "masks")):
        rows = f"../{other}/1.png,x,../set/images/1.png"
        data = open_data(table(tmp_path / "tables" / f"{name}.csv", f"other,label,{name}", rows))
        assert (data.train.root, listed(data.train)) == (tmp_path / "set" / "images", [("1.png", "x")])
    unclear = table(tmp_path / "tables" / "t.csv", "a,b,label", "../set/images/1.png,../thumbs/1.png,x")
    with pytest.raises(UsageError, match=r"several columns of .* name images \(a, b\): call the right one path"):
        open_data(unclear)


def test_whole_and_relative_paths_may_be_mixed(tmp_path):
    fill(tmp_path, ["a/1.jpg", "a/2.jpg"])
    data = open_data(table(tmp_path / "t.csv", "path,label", f"{tmp_path}/a/2.jpg,x", "a/1.jpg,y"))
    assert listed(data.train) == [("a/2.jpg", "x"), ("a/1.jpg", "y")]


def test_a_missing_file_is_no_other_one_of_its_name(tmp_path):
    """Where other rows have whole paths, a path with folders is no end of another one; a bare name may be."""
    fill(tmp_path, ["images/1.jpg", "images/2.jpg", "old/images/0.jpg", "old/3.jpg"])
    path = table(tmp_path / "all.csv", "path,label", "images/0.jpg,a", "images/1.jpg,b", "images/2.jpg,b", "3.jpg,a")
    data = open_data(path)
    assert listed(data.train) == [("images/1.jpg", "b"), ("images/2.jpg", "b"), ("old/3.jpg", "a")]
    assert f"1 of 4 rows of {path} name no image, as the first: images/0.jpg" in data.notes
    ends = table(tmp_path / "ends.csv", "path,label", "images/0.jpg,a", "3.jpg,b")
    assert listed(open_data(ends).train) == [("old/images/0.jpg", "a"), ("old/3.jpg", "b")]


def test_labels_are_as_the_table_has_them(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    path = table(tmp_path / "all.csv", "path,label", "1.jpg,Home\\Glass", '2.jpg,"a\tb"', "3.jpg,Home\\Glass")
    assert open_data(path).train.classes == ["Home\\Glass", "a\\x09b"]


def test_parts_are_those_that_folders_name(tmp_path):
    fill(tmp_path, [f"{number}.jpg" for number in range(7)])
    rows = ["0,a,Train", "1,b,Train", "2,,test", "3,,test", "4,a,val", "5,b,val", "6,a,extra"]
    data = open_data(table(tmp_path / "t.csv", "image,label,split", *rows))
    train, test, how = labelled_splits(data)  # the first test part that can be scored
    assert (listed(train), listed(test), how) == (
        [("0.jpg", "a"), ("1.jpg", "b")], [("4.jpg", "a"), ("5.jpg", "b")], OWN_PART,
    )  # fmt: skip
    left = "images of other parts than train and test are left out (train 2, test 2, val 2, extra 1)"
    assert said(data) == (left,)


def test_parts_of_which_some_images_have_no_label(tmp_path):
    fill(tmp_path, [f"{number}.jpg" for number in range(9)])
    rows = ["0,a,train", "1,b,train", "2,NA,train", "3,b,val", "4,,val", "5,,test", "6,,test"]
    data = open_data(table(tmp_path / "t.csv", "image,label,split", *rows))
    train, test, how = labelled_splits(data)  # of the test parts the one in which some have a label
    assert (listed(train), listed(test), how) == ([("0.jpg", "a"), ("1.jpg", "b")], [("3.jpg", "b")], OWN_PART)
    assert list(test.labels) == [1]
    other = open_data(table(tmp_path / "u.csv", "image,label,split", *rows[:3], "3,c,val", "4,,val"))
    with pytest.raises(UsageError, match=r"the test part has a class that the training part lacks .c."):
        labelled_splits(other)


def test_a_column_called_group_has_the_labels_if_nothing_else_has(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    data = open_data(table(tmp_path / "t.csv", "image,group", "1,treated", "2,control", "3,treated"))
    assert (data.train.classes, data.train.groups) == (["control", "treated"], None)


def test_what_is_of_no_training_part_is_not_learned_from(tmp_path):
    """Parts by other names, or none at all: images that were held out would be learned from, or tested on at random."""
    fill(tmp_path, ["0.jpg", "1.jpg", "2.jpg"])

    def opened(column, *parts):
        rows = [f"{number},a,{part}" for number, part in enumerate(parts)]
        return open_data(table(tmp_path / "t.csv", f"image,label,{column}", *rows))

    for other, count in (("dev", "dev 1"), ("NA", "none 1"), ("", "none 1")):
        data = opened("split", "train", other, "train")
        assert (listed(data.train), data.test) == ([("0.jpg", "a"), ("2.jpg", "a")], None)
        assert said(data) == (f"images of other parts than train are left out (train 2, {count})",)
    refused = r"no part in column {} is called train .{}., so it cannot be told which images are for training"
    for column, parts, counts in (
        ("split", ("entrenamiento", "prueba", "prueba"), "prueba 2, entrenamiento 1"),
        ("split", ("1", "2", "1"), "1 2, 2 1"),
        ("Set", ("test", "", ""), "none 2, test 1"),
    ):
        with pytest.raises(UsageError, match=refused.format(column, counts)):
            opened(column, *parts)
    data = opened("set", "red", "green", "red")  # which may be anything
    assert (len(data.train), data.test) == (3, None)
    assert said(data) == ("all images are for training, as the parts are not called train and test (red 2, green 1)",)


@pytest.mark.parametrize("none", ["NA", '"NA"', "NaN", "#N/A", "null", ""])
def test_a_value_that_programs_write_for_none_is_no_label(none, tmp_path):
    fill(tmp_path, [f"{number}.jpg" for number in range(11)])
    rows = [f"{number},{'ab'[number % 2]}" for number in range(10)]
    data = open_data(table(tmp_path / "t.csv", "image,label", *rows, f"10,{none}"))
    assert data.train.class_name(10) is None
    train, test, _ = labelled_splits(data)
    assert (train.classes, len(train), len(test)) == (["a", "b"], 8, 2)
    taken = [f"{none.strip(chr(34))} in column label is taken for no label"] if none else []
    assert said(data) == (*taken, "1 of 11 images have no label, as 10.jpg: scores leave them out")


def test_images_of_a_group_are_in_one_part(tmp_path):
    """Ten places of which each was photographed ten times; ``NA`` is no place."""
    fill(tmp_path, [f"{number:02}.jpg" for number in range(101)])
    rows = [f"{number:02},{'ab'[number % 2]},place {number // 10}" for number in range(100)]
    data = open_data(table(tmp_path / "t.csv", "image,label,group", *rows, "100,a,NA"))
    assert data.notes[0].endswith("has files in column image, labels in column label, groups in column group")
    train, test, how = labelled_splits(data)
    places = set(test.groups)
    assert (len(train), len(test), places & set(train.groups)) == (81, 20, set())
    assert how.startswith("the images of 2 of 10 groups held out for testing, and every fifth image without a group;")
    halves = [f"{row},{('train', 'test')[number % 20 > 11]}" for number, row in enumerate(rows)]
    both = open_data(table(tmp_path / "both.csv", "image,label,group,split", *halves))
    assert labelled_splits(both)[2] == f"{OWN_PART}; 5 groups have images in both parts, so scores may be too high"


def test_images_without_a_label_are_learned_from_and_not_scored(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    data = open_data(table(tmp_path / "t.csv", "path,label", "1.jpg,a", "2.jpg,", "3.jpg,b"))
    assert len(data.train) == 3
    assert said(data) == ("1 of 3 images have no label, as 2.jpg: scores leave them out",)
    with pytest.raises(UsageError, match=r"no class in .* has five images"):
        labelled_splits(data)
    assert [data.of_kind(3, "uint8").train.class_name(number) for number in range(3)] == ["a", None, "b"]


def test_a_name_that_several_files_have_is_said(tmp_path):
    fill(tmp_path, ["one/1.jpg", "two/1.jpg"])
    with pytest.raises(UsageError, match=r"images in .*; several files are called 1.jpg: give their paths"):
        open_data(table(tmp_path / "t.csv", "path,label", "1.jpg,a"))


def test_masks_beside_the_images_are_theirs(tmp_path):
    """And a column of masks names no images, wherever it stands."""
    fill(tmp_path, ["set/images/1.jpg", "set/images/2.jpg"])
    (tmp_path / "set" / "masks").mkdir()
    for name in ("1.png", "2.png"):
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "set" / "masks" / name)
    rows = ["masks/2.png,images/2.jpg,a", "masks/1.png,images/1.jpg,b"]
    source = open_data(table(tmp_path / "t.csv", "mask,image,label", *rows)).train
    assert listed(source) == [("set/images/2.jpg", "a"), ("set/images/1.jpg", "b")]
    assert (list(source.masked), source.mask(0).sum()) == ([0, 1], 16)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("path,label", "9.jpg,a"), r"no column of .* names images in .*columns: path, as 9.jpg; there is 1.jpg"),
        (("1.jpg,a", "2.jpg,b"), "the first row of .*t.csv must name its columns, and not an image: 1.jpg, a"),
        (("a,b,label", "1.jpg,2.jpg,x", "2.jpg,1.jpg,y"), r"several columns of .* .a, b.: call the right one path"),
        (("id,gt,label", "x/a,x/3.png,a", "x/b,y/4.png,b"), r"several columns of .* .id, gt.: call the right one path"),
        (("path,label", "1.jpg,x", "1,y"), "rows with different labels, parts or groups for one image, 1.jpg"),
        (("path,split", "1.jpg,train", "1,test"), "rows with different labels, parts or groups for one image, 1.jpg"),
        (("path,label", "a/1.jpg,x", "b/2.jpg,y"), "begin with different folders, .*, as a/1.jpg, b/2.jpg"),
        (("path,label", "1.jpg,red, round", "2.jpg,green"), "line 2 has 3 values, and the first one has 2"),
        (("path,size,label", "1.jpg,3,a", "2.jpg,b"), "line 3 has 2 values, and the first one has 3"),
        (("path\tlabel", '1.jpg\t"a', '2.jpg\t"b'), "cannot be read as a table: '\t' expected after '\"'"),
        (("path,label",), "is no table: it has a row of names and one for each image at least"),
        (("",), "is no table"),
        (("path,label", '"' + "x" * 200_000 + '",a'), "cannot be read as a table: field larger than field limit"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(rows, reason, tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg", "x/a.jpg", "x/b.jpg", "x/3.png", "y/4.png"])
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
