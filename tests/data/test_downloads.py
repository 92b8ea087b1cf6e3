"""Data that have a name of their own."""

import numpy as np
from PIL import Image

from tests.conftest import picture
from twofold.data.opening import open_data


def test_digits_are_there_without_a_network():
    data = open_data("digits")
    assert len(data.train) + len(data.test) == 1797
    assert data.train.image(0).shape == (3, 8, 8)
    assert max(data.train.image(i).max() for i in range(20)) == 255
    assert len(data.train.classes) == 10


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
