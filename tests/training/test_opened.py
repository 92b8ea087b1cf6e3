"""The rates of a run's steps: the warmup, the cosine, the backbone that waits for the heads."""

import math
from contextlib import ExitStack

import pytest
import torch

from tests.conftest import tiny
from tests.training.making import pretrain
from twofold.methods.building import build_method
from twofold.recipe.recipe import wanted
from twofold.training.log import Log
from twofold.training.opening import open_run


def rates(out, **settings):
    """The rates of the heads and of the backbone at each of 80 steps, 4 an epoch, with batches of 64 images."""
    asked = wanted(**tiny("simclr", out=str(out), epochs=20, **settings))
    with ExitStack() as held:
        opened = open_run(asked, None, torch.device("cpu"), Log(None), held)
    assert opened.steps == 80
    return zip(*map(opened.rates, range(80)), strict=True)


def test_the_rate_warms_up_for_a_tenth_of_the_run_and_falls_on_a_cosine(tmp_path):
    """It is given for 256 images: a batch of 64 has a quarter of it."""
    heads, backbone = rates(tmp_path, lr=0.4)
    assert heads == backbone
    assert heads[:8] == pytest.approx([0.1 * (step + 1) / 8 for step in range(8)])
    assert heads[8:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 72)) for step in range(72)])


def test_a_backbone_that_waits_for_the_heads_has_its_whole_course_afterwards(tmp_path):
    heads, backbone = rates(tmp_path, lr=0.4, backbone_lr=0.04, heads_first=5)
    assert heads == next(iter(rates(tmp_path, lr=0.4)))
    assert backbone[:20] == (0.0,) * 20
    assert backbone[20:28] == pytest.approx([0.01 * (step + 1) / 8 for step in range(8)])
    assert backbone[28:] == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 52)) for step in range(52)])


def test_until_its_turn_a_backbone_stays_as_it_is_and_the_heads_learn(tmp_path):
    run = pretrain(tmp_path / "run", epochs=2, heads_first=9, knn_every=0)
    first, last = build_method(run.recipe, run.spec, 256), run.method()
    stayed = {
        part: [
            torch.equal(a, b) for a, b in zip(*(m.get_submodule(part).parameters() for m in (first, last)), strict=True)
        ]
        for part in ("backbone", "projector")
    }
    assert all(stayed["backbone"])
    assert not any(stayed["projector"])
