"""What a run tells: measuring changes nothing, and a loss that is no number leaves what explains it."""

import math
import re

import numpy as np
import pytest
import torch

import twofold
from tests.training.making import pretrain, weights
from twofold.errors import Diverged
from twofold.storage import files


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    """A learning rate beyond reason: the run ends by itself and leaves what is needed to look into it."""
    with pytest.raises(Diverged, match="step"):
        pretrain(tmp_path / "run", method="vicreg", optimizer="sgd", lr=1e30, epochs=8)
    failure = files.load(tmp_path / "run" / "failure.pt")
    rows = twofold.Run.open(tmp_path / "run").metrics
    assert failure["step"] == rows[-1]["step"] + 1
    assert len(failure["index"]) == 64
    assert not all(math.isfinite(value) for value in failure["terms"].values())
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_weights_that_the_last_step_makes_no_numbers_stop_the_run(tmp_path):
    """No loss follows that would show it: without a look at them the run would end as if it had gone well."""
    with pytest.raises(Diverged, match="weights are too large for finite features after step 0"):
        pretrain(tmp_path / "run", limit=64, epochs=1, optimizer="sgd", lr=1e30, knn_every=0)
    run = twofold.Run.open(tmp_path / "run")
    assert not (run.path / "backbone.safetensors").exists()
    (finding,) = [it for it in twofold.diagnose(run)["findings"] if it["name"] == "non-finite values"]
    assert finding["seen"].startswith("weights are too large for finite features after step 0; the terms are ")


def test_a_first_loss_that_is_no_number_sends_to_the_images(tmp_path):
    """As of rasters whose value for "no data" is the least that a float can be."""
    images = np.random.default_rng(0).normal(100, 10, (64, 1, 8, 8)).astype(np.float32)
    images[::10, :, :2] = np.finfo(np.float32).min
    np.save(tmp_path / "raster.npy", images)
    with pytest.raises(Diverged, match=r"at step 0; .* look at the images: their channels have the means -\d"):
        pretrain(tmp_path / "run", data=str(tmp_path / "raster.npy"), limit=0, epochs=1, knn_every=0)


def test_how_long_it_takes_is_estimated_after_a_few_steps(tmp_path):
    run = pretrain(tmp_path / "run", epochs=3, knn_every=0)
    (said,) = [line for line in (run.path / "log.txt").read_text().splitlines() if "estimate" in line]
    assert re.search(r"about \d+ s to go, an estimate from 4 of 12 steps$", said)
    short = pretrain(tmp_path / "short", epochs=1, knn_every=0)  # four steps: nothing is left then
    assert "estimate" not in (short.path / "log.txt").read_text()


def test_online_knn_does_not_touch_the_run(tmp_path):
    with_it, without = pretrain(tmp_path / "a", epochs=2), pretrain(tmp_path / "b", epochs=2, knn_every=0)
    assert "knn" in with_it.metrics[-1]
    assert "knn" not in without.metrics[-1]
    for key, value in weights(with_it).items():
        assert torch.equal(value, weights(without)[key]), key
