"""What the dense protocols read: masks are cut as images are, and large ones are thinned."""

import numpy as np
import torch

from tests.evaluation.grain import Directions
from twofold.data.sources import Array
from twofold.encoding import dense as dense_features
from twofold.encoding.backbones import open_backbone
from twofold.encoding.dense import patchwise
from twofold.evaluation import patches
from twofold.evaluation.patches import cut_mask, maps_of, masked_maps, some_of


def test_large_masks_are_thinned_evenly(monkeypatch):
    mask = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    assert torch.equal(cut_mask(mask, (2, 3, 8)), torch.from_numpy(mask[2:10, 3:11]))
    monkeypatch.setattr(patches, "SIDE", 4)
    assert torch.equal(cut_mask(mask, (2, 3, 8)), torch.from_numpy(mask[3:10:2, 4:11:2]))


class Masked(Array):
    """The mask of an image is its green channel."""

    masked = [0, 2, 3]

    def mask(self, index):
        return self.images[index, 1]


def test_images_and_masks_belong_together_whatever_the_batch(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), np.uint8)
    source, dense, told = Masked(images), patchwise(open_backbone(Directions(), size=16)), []
    monkeypatch.setattr(dense_features, "NUMBERS", 2 * 2 * 2 * 2)  # two images at once
    batches = list(masked_maps(source, source.masked, dense, lambda *words: told.append(words), "images"))
    assert [len(masks) for _, masks in batches] == [2, 1]
    assert told == [("images", 2, 3), ("images", 3, 3)]
    found = torch.cat([maps for maps, _ in batches])
    torch.testing.assert_close(found, dense.encode(torch.from_numpy(images[[0, 2, 3]])))
    assert all(np.array_equal(mask, images[i, 1]) for mask, i in zip(batches[0][1], (0, 2), strict=True))
    plain = torch.cat(list(maps_of(source, [0, 2, 3], dense, lambda *_: None, "images")))
    assert torch.equal(plain, found)


def test_some_images_are_drawn_in_their_order():
    drawn = some_of(range(50, 150), 10, 0, "train")
    assert drawn == sorted(set(drawn))
    assert set(drawn) < set(range(50, 150))
    assert len(drawn) == 10
    assert drawn != some_of(range(50, 150), 10, 1, "train")
    assert some_of([3, 5, 8], 10, 0, "train") == [3, 5, 8]
