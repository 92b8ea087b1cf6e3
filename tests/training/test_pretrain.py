"""`twofold.pretrain`: what a run directory holds, the same recipe the same run, what cannot work."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import twofold
from tests.conftest import tiny
from tests.training.making import pretrain, weights
from twofold.errors import UsageError
from twofold.recipe import recipe


def test_a_run_directory_tells_the_whole_story(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert {
        "recipe.toml",
        "metrics.jsonl",
        "checkpoint.pt",
        "backbone.safetensors",
        "backbone.json",
        "log.txt",
    } <= names
    settings = finished.recipe
    assert settings.image_size == 8  # what was left open is chosen and recorded
    assert settings.stem == "small"
    assert len(settings.mean) == len(settings.std) == 3
    rows = finished.metrics
    assert [row["step"] for row in rows] == list(range(32))
    assert all(math.isclose(row["loss"], row["attraction"] + row["repulsion"]) for row in rows)
    assert rows[0]["collapsed"] == pytest.approx(math.log(127))
    assert rows[-1]["epoch"] == 7
    assert "small stem" in (finished.path / "log.txt").read_text()


def test_the_same_recipe_gives_the_same_run(finished, tmp_path):
    """From the run's own recipe file."""
    settings = {**recipe.settings_of(finished.recipe), "out": str(tmp_path / "again")}
    again = twofold.pretrain(quiet=True, **settings)
    for key, value in weights(finished).items():
        assert torch.equal(value, weights(again)[key]), key


def test_a_run_is_started_from_as_its_path_is(finished, tmp_path):
    run = pretrain(tmp_path / "run", weights=finished, epochs=1)
    assert run.recipe.weights == str(finished.path)
    assert torch.equal(run.start().conv1.weight, finished.backbone().conv1.weight)


def test_another_seed_gives_another_run(finished, tmp_path):
    other = pretrain(tmp_path / "other", epochs=8, seed=1)
    assert other.metrics[0]["loss"] != finished.metrics[0]["loss"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            dict(method="mae", backbone="test_vit", backbone_arguments={}, image_size=16, mask=(0.001, 0.0)),
            "needs a masked view",
        ),
        (
            dict(method="mae", backbone="test_vit", backbone_arguments={}, image_size=16, decoder_width=100),
            "multiple of 32",
        ),
        (dict(method="mae", backbone="test_vit", backbone_arguments={"patch_size": 1}, image_size=8), "one pixel"),
        (
            dict(method="rotation", backbone="test_vit", backbone_arguments={}, image_size=16, mask=(0.0, 0.5)),
            "has one view",
        ),
        (
            dict(method="jigsaw", backbone="test_convnext", backbone_arguments={}, image_size=32),
            "does not take images of 8",
        ),
        (dict(method="vicreg", invariance=math.nan), "invariance must be a finite number"),
        (dict(method="joint", functionals="variance:1,variance:2"), "named twice"),
        (dict(mean=(0.5, 0.5), std=(0.5, 0.5)), "3 values"),
        (dict(pool="average"), "vision transformers"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(settings, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        pretrain(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_the_callers_generator_stays_where_it_is(tmp_path):
    """Whoever draws a head after a pretraining gets another one for another seed."""
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    run = twofold.pretrain(quiet=True, out=tmp_path / "run", **tiny("simclr", epochs=1, limit=64))
    twofold.load_backbone(run)
    twofold.features(run, "digits")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_runs_of_modules_of_one_class_keep_their_own(tmp_path):
    """All of timm's ResNets are of one class; others may have the same weights and compute something else."""
    runs, right = [], []
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    for number, last in enumerate((nn.ReLU, nn.Tanh)):
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), last())
        wanted = tiny("simclr", backbone=net, backbone_arguments=None, epochs=1, limit=64)
        wanted |= {"interpolate_weights": 0.5}
        runs.append(twofold.pretrain(quiet=True, out=tmp_path / f"run{number}", **wanted))
        right.append(twofold.features(runs[-1], pixels))
    assert (right[0] >= 0).all()
    assert (right[1] < 0).any()
    for run, wanted, last in zip(runs, right, (nn.ReLU, nn.Tanh), strict=True):
        assert torch.equal(twofold.features(run, pixels), wanted)
        assert isinstance(run.result(run.method(), run.recipe)[-1], last)
        (run.path / "backbone.json").unlink()  # as before its pretraining has ended
        assert isinstance(run.spec.build()[-1], last)
