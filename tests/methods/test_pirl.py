"""PIRL's details: its negatives and its tiles."""

import pytest
import torch

from tests.conftest import resolved
from tests.methods.making import inputs_of, loss_of, made
from twofold import rng
from twofold.augment.pipeline import pipelines
from twofold.augment.tiles import TILES, cut_tiles
from twofold.batch import Batch


def test_pirl_leaves_an_images_own_entry_out_of_its_negatives():
    """A bank with one image: every negative drawn is its own, none is left, and the loss is that of a sure guess."""
    method, batch = made("pirl")
    method.bank.rows = method.bank.rows[:1]
    method.bank.age = method.bank.age[:1]
    alone = Batch(batch.views, torch.zeros_like(batch.index), batch.chance)
    assert loss_of(method, alone).item() == pytest.approx(0, abs=1e-5)


def test_pirl_shuffles_the_tiles_of_each_image_its_own_way():
    method, batch = made("pirl")
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    (tiles,) = (images for images in seen if len(images) == 32 * TILES)
    plain = cut_tiles(batch.views[1].images, method.tile, batch.chance.uniform("places", 2 * TILES))
    orders = []
    for shuffled, straight in zip(tiles.unflatten(0, (32, TILES)), plain, strict=True):
        distance = (shuffled[:, None] - straight).flatten(2).abs().amax(2)
        orders.append(tuple(distance.argmin(1).tolist()))
        assert distance.amin(1).max() == 0
        assert sorted(orders[-1]) == list(range(TILES))
    assert len(set(orders)) > 28


def test_pirls_tiles_come_from_a_wider_crop_than_its_image():
    """The image's crops cover 0.08 to 1 of the area, those that are cut into tiles 0.6 to 1: lowest and highest."""
    image, tiled = pipelines(resolved("pirl", image_size=64).augment, 64)
    sizes, boxes = torch.tensor([[500, 500]]).expand(2000, 2), []
    for view in (image, tiled):
        drawn = view.boxes(view.draw(rng.Streams(5), 2000), sizes)
        boxes.append((drawn[:, 2] * drawn[:, 3] / 250_000).aminmax())
    assert boxes[0] == pytest.approx((0.08, 1.0), abs=0.02)
    assert boxes[1] == pytest.approx((0.6, 1.0), abs=0.02)
