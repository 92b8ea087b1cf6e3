"""Columns of Hugging Face's data sets: which holds the images, which the labels."""

import datasets
import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from twofold.data.decode import Unreadable
from twofold.data.opening import open_data

PHOTOS = [Image.fromarray(picture(8, 9, number)) for number in range(4)]


def made(classes=(), **columns):
    """A data set with image columns where there are PIL images, and the classes' names for the column ``kind``."""
    dataset = datasets.Dataset.from_dict(columns)
    return dataset.cast_column("kind", datasets.ClassLabel(names=list(classes))) if classes else dataset


def test_parts_and_hidden_labels():
    train = made(["cat", "dog"], photo=PHOTOS, kind=[0, 1, 0, 1])
    data = open_data(datasets.DatasetDict(train=train, test=made(["cat", "dog"], photo=PHOTOS[:2], kind=[-1, -1])))
    assert data.name == "python:DatasetDict"
    assert (data.train.labels, data.train.classes) == ([0, 1, 0, 1], ["cat", "dog"])
    assert (len(data.test), data.test.labels) == (2, None)


def test_columns_are_found_by_what_they_hold():
    other = PHOTOS[::-1]
    several = made(["a", "b"], text=[*"wxyz"], mask=other, image=PHOTOS, kind=[1, 0, 1, 0], label=[*"srsr"])
    source = open_data(several).train
    assert np.array_equal(source.image(0), np.moveaxis(np.asarray(PHOTOS[0]), -1, 0))
    assert (source.labels, source.classes) == ([1, 0, 1, 0], ["r", "s"])
    named = open_data(several.remove_columns(["image", "label"])).train
    assert np.array_equal(named.image(0), np.moveaxis(np.asarray(other[0]), -1, 0))
    assert named.classes == ["a", "b"]
    assert open_data(several.remove_columns(["kind", "label"])).train.labels is None


def test_transforms_are_set_aside():
    calls = []
    dataset = made(photo=PHOTOS).with_transform(lambda rows: calls.append(rows) or rows)
    assert open_data(dataset).train.image(1).dtype == np.uint8
    assert calls == []


def test_rows_without_an_image_are_unreadable(tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(picture(30, 30))[:100])
    features = datasets.Features({"photo": datasets.Image()})
    photos = [str(tmp_path / "cut.png"), None, str(tmp_path / "nowhere.png")]
    source = open_data(datasets.Dataset.from_dict({"photo": photos}, features=features)).train
    for number, reason in enumerate(("truncated", "empty file", "No such file")):
        with pytest.raises(Unreadable, match=reason):
            source.image(number)
