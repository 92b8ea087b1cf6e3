"""What a run's rules ask of its images and the machine."""

import math

from tests.conftest import VIT
from tests.training.making import pretrain


def test_small_crops_are_whole_patches(tmp_path):
    run = pretrain(
        tmp_path / "run", "dino", small_crops=1, epochs=1, limit=64, **{**VIT, "image_size": 48, "backbone": "test_vit"}
    )
    assert run.recipe.augment.small_size == 18  # patches of 6
    assert math.isfinite(run.metrics[-1]["loss"])
