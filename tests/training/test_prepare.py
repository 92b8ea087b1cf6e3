"""From crops to the batch that a method gets."""

import math

import pytest
import torch

from tests.conftest import resolved, tiny
from tests.training.making import pretrain
from twofold import dist
from twofold.data.plan import Plan
from twofold.data.resident import Resident
from twofold.methods.building import backbone_spec, build_method
from twofold.training.prepare import MicroBatches, Preparation

CPU = torch.device("cpu")


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_multi_crop_runs(backbone, tmp_path):
    settings = dict(backbone=backbone, backbone_arguments={}, image_size=32, limit=64, knn_every=0)
    run = pretrain(tmp_path / "run", epochs=1, small_crops=2, **settings)
    assert run.recipe.augment.small_size == 12
    assert math.isfinite(run.metrics[-1]["loss"])


def test_the_parts_of_a_step_are_the_step_whole():
    """The same views, masks and chance, whether a batch comes in one part or in three."""
    images = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    resident = Resident(images, torch.full((20, 2), 16), CPU)
    batches = []
    for parts in (1, 3):
        settings = resolved(**tiny("mae", accumulate=parts, image_size=16))
        method = build_method(settings, backbone_spec(settings), 20)
        prepare = Preparation(settings, method, 12, CPU, torch.float64)
        crops = resident.load(Plan(20, 12, settings.seed), prepare.views, MicroBatches(range(1), 12, parts))
        batches.append([prepare(part) for part in crops])
    (whole,), cut = batches
    assert [len(part.index) for part in cut] == [4, 4, 4]
    assert torch.equal(torch.cat([part.index for part in cut]), whole.index)
    for number, view in enumerate(whole.views):
        assert view.images.dtype == torch.float64
        torch.testing.assert_close(torch.cat([part.views[number].images for part in cut]), view.images)
        assert torch.equal(torch.cat([part.views[number].ids_keep for part in cut]), view.ids_keep)
    chances = torch.cat([part.chance.uniform("place", 2) for part in cut])
    assert torch.equal(chances, whole.chance.uniform("place", 2))


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_the_processes_rows_of_a_part_are_the_part_in_order(world, accumulate, monkeypatch):
    monkeypatch.setattr(dist, "world", lambda: world)
    found = []
    for rank in range(world):
        monkeypatch.setattr(dist, "rank", lambda rank=rank: rank)
        found.append(list(MicroBatches(range(5, 7), 12, accumulate)))
    gathered = [row for parts in zip(*found, strict=True) for part in parts for row in range(12)[part.rows]]
    assert gathered == 2 * list(range(12))
    assert [part.step for part in found[0]] == [5] * accumulate + [6] * accumulate
