"""From crops to the batch that a method gets."""

import math

import pytest

from tests.training.making import pretrain


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_multi_crop_runs(backbone, tmp_path):
    settings = dict(backbone=backbone, backbone_arguments={}, image_size=32, limit=64, knn_every=0)
    run = pretrain(tmp_path / "run", epochs=1, small_crops=2, **settings)
    assert run.recipe.augment.small_size == 12
    assert math.isfinite(run.metrics[-1]["loss"])
