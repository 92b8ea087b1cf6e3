"""What counts as a label, and how labels are numbered."""

import numpy as np
import pytest
import torch

from twofold.data.items import class_numbers, image_and_label, label_of


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (3, 3),
        (np.uint8(3), 3),
        (np.array([3]), 3),
        (torch.tensor(3), 3),
        ("cat", "cat"),
        (np.str_("cat"), "cat"),
        (True, 1),
        (-1, -1),
        (None, None),
        (0.5, None),
        (torch.tensor(0.5), None),
        (torch.tensor([1, 2]), None),
        ({"boxes": []}, None),
    ],
)
def test_labels_are_numbers_and_texts(value, label):
    assert label_of(value) == label
    assert (
        image_and_label(("it", value, "more")) == image_and_label({"img": "it", "fine_label": value}) == ("it", label)
    )


def test_numbers_stay_and_texts_are_numbered_by_name():
    assert class_numbers([7, 3, 7]) == ([7, 3, 7], None)
    assert class_numbers([*"bab"]) == ([1, 0, 1], ["a", "b"])
    assert class_numbers(["10", "9"]) == ([1, 0], ["9", "10"])
    assert class_numbers([1, "b"]) == ([0, 1], ["1", "b"])
    for missing in ([], [1, None], ["a", None], [0, -1]):
        assert class_numbers(missing) == (None, None)
