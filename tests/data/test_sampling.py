"""What `--limit` leaves of the images: every class, whatever their order, and no image read for it."""

from collections import Counter

import numpy as np
import pytest

import twofold
from tests.conftest import encoded, picture, tiny
from tests.data.making import fill, parquet, tar
from twofold.data.opening import open_data
from twofold.data.sampling import balanced, known
from twofold.data.sources import Array


def labels_of(data, limit):
    limited = open_data(data).limited(limit)
    return Counter(limited.train.labels), limited


def test_a_limited_folder_that_is_sorted_by_class_has_every_class(tmp_path):
    counts = {"ant": 30, "bee": 30, "cow": 5}
    fill(tmp_path, [f"{name}/{number:02}.png" for name, count in counts.items() for number in range(count)])
    found, data = labels_of(tmp_path, 20)
    assert sorted(found.values()) == [5, 7, 8]  # all five cows
    assert found[2] == 5
    assert data.notes[-1] == "the training images are a sample of 20 of 65 images, balanced over their classes"
    names = [data.train.name(number) for number in range(20)]
    assert names == sorted(names)  # in the folder's own order
    assert names != [f"ant/{number:02}.png" for number in range(20)]
    assert data.train.indices == open_data(tmp_path).limited(20).train.indices
    assert set(data.train.indices) < set(open_data(tmp_path).limited(40).train.indices)


def test_every_kind_of_data_is_sampled(tmp_path):
    labels = [0] * 20 + [1] * 20
    images = np.stack([picture(8, 8, number) for number in range(40)])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    tar(tmp_path / "b.tar", {f"{'xy'[label]}/{n:02}.png": encoded(images[n]) for n, label in enumerate(labels)})
    parquet(tmp_path / "c.parquet", 40)
    for data in (tmp_path / "a.npz", tmp_path / "b.tar", tmp_path / "c.parquet", (images, labels)):
        found, _ = labels_of(data, 10)
        assert found == {0: 5, 1: 5}, data
    fill(tmp_path / "plain", [f"{number:02}.png" for number in range(40)])
    limited = open_data(tmp_path / "plain").limited(10)
    assert limited.notes == ("the training images are a sample of 10 of 40 images",)
    assert limited.train.indices == sorted(limited.train.indices) != list(range(10))


def test_labels_that_lie_in_the_items_are_not_read_for_it():
    class Lazy:
        """A data set that does not list its labels."""

        def __init__(self):
            self.read = []

        def __len__(self):
            return 40

        def __getitem__(self, index):
            self.read.append(index)
            return picture(8, 8, index), index // 20

    items = Lazy()
    source = open_data(items).train
    opened = list(items.read)
    assert len(balanced(source, 10)) == 10
    assert items.read == opened


@pytest.mark.parametrize("limit", [0, 1438])
def test_all_images_are_no_sample(limit):
    data = open_data("digits")
    assert data.limited(limit) == data
    assert len(data.train) == len(data.limited(limit).train)


def test_a_run_and_its_evaluation_say_so(tmp_path):
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("simclr", limit=70, epochs=1))
    assert "a sample of 70 of 1438 images" in (run.path / "log.txt").read_text()
    notes = twofold.evaluate(run, protocols="knn")["notes"]
    assert any("a sample of 70 of 1438 images" in note for note in notes)


def test_the_images_whose_class_is_known():
    """All of them are the source itself; some are renumbered, with their classes as labels."""
    images = np.zeros((4, 3, 8, 8), np.uint8)
    whole, none = Array(images, [1, 0, 1, 0], ["a", "b"]), Array(images)
    assert known(whole) is whole
    assert known(none) is none
    none.class_name = {0: "b", 2: "a", 3: "b"}.get
    some = known(none)
    assert (list(some.labels), some.classes, [some.name(place) for place in range(3)]) == (
        [1, 0, 1], ["a", "b"], ["row 0", "row 2", "row 3"],
    )  # fmt: skip
