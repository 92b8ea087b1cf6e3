"""Every file in recipes/ runs."""

import math
from pathlib import Path

import numpy as np
import pytest

import twofold
from tests.conftest import picture
from twofold.recipe import toml

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
SMALLER = {"resnet50": "resnet18", "vit_base_patch16_224": "vit_tiny_patch16_224"}
SMALLER["vit_large_patch14_224"] = "vit_tiny_patch16_224"
SMALLER["vit_small_patch16_224"] = "vit_tiny_patch16_224"


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs(path, tmp_path):
    """Two steps of eight pictures: its settings go together, on a smaller backbone where it asks for a large one."""
    wanted = toml.load(path)
    size = 128 if wanted.given.get("image_size", 0) >= 128 else 32
    changes = {"image_size": size} if "image_size" in wanted.given and size == 128 else {}
    images = np.stack([picture(size, size, seed) for seed in range(8)])
    given = {**wanted.given, **changes, "epochs": 2, "batch_size": 8, "device": "cpu", "precision": "fp32"}
    given |= {"out": tmp_path / "run", "backbone": SMALLER.get(wanted.get("backbone"), wanted.get("backbone"))}
    given |= {"teacher": "tests.networks:teacher", "teacher_size": 0} if wanted.method == "distill" else {}
    run = twofold.pretrain(images, method=wanted.method, quiet=True, **{k: v for k, v in given.items() if k != "data"})
    assert len(run.metrics) == 2
    assert all(math.isfinite(row["loss"]) for row in run.metrics)
    recorded = twofold.Run.open(run.path).recipe
    for name in ("optimizer", "lr", "weight_decay", "lars_trust", "lars_clip", "clip_each"):
        assert getattr(recorded, name) == wanted.given.get(name, getattr(recorded, name))
