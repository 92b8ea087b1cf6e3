"""A step never waits for the device: nothing of it is looked at, and no copy is waited for."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from tests.conftest import resolved, tiny
from tests.pretend import ON, Device, There, moved
from tests.training.making import pretrain, weights
from twofold import device
from twofold.data.plan import Plan
from twofold.data.resident import Resident
from twofold.errors import Diverged
from twofold.methods.building import backbone_spec, build_method
from twofold.recipe.declared import methods, spec
from twofold.training.optimizer import create_optimizer, set_rates
from twofold.training.prepare import MicroBatches, Preparation
from twofold.training.step import learn

IMAGES, BATCH = 64, 32
BEFORE, STEPS = 3, 3
"""Steps before it counts, as some things are asked once; steps that count."""
FULL = dict(jitter=0.8, grayscale=0.2, blur=(0.5, 0.5), solarize=(0.2, 0.2), flip=0.5)
MOST = 5
"""Copies to the device in a step."""


@pytest.fixture
def pretending(monkeypatch):
    """What else of torch has to believe in the device."""
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda *_: generator())
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(device, "overlaps", lambda on: on == ON)
    monkeypatch.setattr(device, "layout", lambda *_: torch.contiguous_format)  # the CPU computes, see `device.layout`


@pytest.mark.parametrize("name", methods())
def test_no_method_waits(name, pretending):
    turn = 0.75 * spec(name).load().TURNED
    settings = resolved(images=IMAGES, **tiny(name, **FULL, turn=turn, limit=IMAGES, batch_size=BATCH))
    method = build_method(settings, backbone_spec(settings), IMAGES).train()
    side, total = settings.image_size, BEFORE + STEPS
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (IMAGES, 3, side, side), np.uint8))
    with Device() as there:
        for network in (method, *(network for network, _ in method.given().values())):
            moved(network)
        optimizer = create_optimizer(method, settings.optimizer, settings.weight_decay, settings.optimizer_momentum)
        prepare = Preparation(settings, method, BATCH, ON, torch.float32)
        loaded = Resident(images, torch.tensor([[side, side]]).expand(IMAGES, 2), ON)
        crops = loaded.load(Plan(IMAGES, BATCH, 0), prepare.views, MicroBatches(range(total), BATCH, 1))
        steps = []
        for step in range(total):
            if step == BEFORE:
                there.waits.clear()
                there.sent = there.awaited = 0
            set_rates(optimizer, 0.01, 0.01, 0.0)
            options = dict(accumulate=1, grad_clip=1.0, precision="fp32", progress=step / total)
            steps.append(learn(method, optimizer, crops, prepare, **options))
            optimizer.step()
            method.after_step(step / total)
        assert there.waits.total() == 0, there.waits
        assert there.awaited == STEPS
        assert there.sent <= MOST * STEPS, there.sent
    assert all(math.isfinite(learned.loss) for learned in steps)


def test_the_pretended_device_notices():
    here = torch.arange(4.0)
    with Device() as there:
        far = here.to(ON)
        assert isinstance(far, There)
        assert isinstance(torch.ones(2, device=ON) + far[:2], There)
        with pytest.raises(RuntimeError, match="two devices"):
            far + here
        for wait in (
            lambda: far.sum().item(),
            lambda: far.tolist(),
            lambda: bool(far[0] > 0),
            lambda: far[far > 1],
            lambda: far.cpu(),
            lambda: here.to(ON),
            lambda: far.copy_(here),
            lambda: far.nonzero(),
        ):
            before = there.waits.total()
            wait()
            assert there.waits.total() > before
        before = there.waits.total()
        assert far.to("cpu", non_blocking=True).tolist() == [0, 1, 2, 3]
        assert (there.waits.total(), there.awaited) == (before, 1)


def test_reading_numbers_a_step_late_changes_nothing(tmp_path, monkeypatch):
    """Nor does it lose a line: as where a GPU computes, though here nothing is late but the reading."""
    wanted = dict(epochs=2, measure_every=3, save_every=3)
    at_once = pretrain(tmp_path / "a", **wanted)
    monkeypatch.setattr(device, "overlaps", lambda _: True)
    late = pretrain(tmp_path / "b", **wanted)
    took = {"images_per_second", "waiting"}
    one, other = ([{k: v for k, v in row.items() if k not in took} for row in run.metrics] for run in (at_once, late))
    assert one == other
    assert all(torch.equal(value, weights(late)[name]) for name, value in weights(at_once).items())


def test_what_is_read_late_is_read_before_a_checkpoint(tmp_path, monkeypatch):
    """With one after every step, the last one has the weights of a step whose loss was a number."""
    monkeypatch.setattr(device, "overlaps", lambda _: True)
    with pytest.raises(Diverged, match="step"):
        pretrain(tmp_path / "run", method="vicreg", optimizer="sgd", lr=1e30, epochs=8, save_every=1, knn_every=0)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    failure = torch.load(tmp_path / "run" / "failure.pt", weights_only=True)
    assert state["step"] == failure["step"]
