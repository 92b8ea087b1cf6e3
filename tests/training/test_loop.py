"""The loop: it learns, and never takes a step to weights that are no numbers."""

import math

import pytest
import torch

from tests.training.making import pretrain
from twofold.diagnosis import live
from twofold.diagnosis.causes import COMPLETE, FORGETTING, NORMS, WORSE
from twofold.diagnosis.doctor import Finding
from twofold.errors import Collapsed, Diverged, Failed
from twofold.storage import files


@pytest.mark.parametrize(
    "method", ["byol", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simclr", "vicreg"))]
)
def test_it_learns(method, tmp_path):
    """Some seconds on 1,438 digits: neighbours agree clearly more often than the untrained backbone's."""
    wider = {"layers": (1, 1, 1, 1), "channels": (16, 32, 32, 32), "zero_init_last": False}
    run = pretrain(
        tmp_path / "run",
        method,
        backbone_arguments=wider,
        limit=0,
        epochs=10,
        batch_size=128,
        optimizer="adamw",
        lr=4e-3,
        projector=(128, 128),
        **({"predictor": (128, 128), "momentum": (0.9, 1.0)} if method == "byol" else {}),
        crop_scale=(0.5, 1.0),
        jitter=0.0,
        grayscale=0.0,
        solarize=(0.0, 0.0),
    )
    assert run.metrics[-1]["knn"] > run.metrics[0]["knn_untrained"] + 0.1


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, monkeypatch):
    """A finite loss whose gradient is not: the update does not happen, not even the last one."""
    from twofold.methods.simclr import SimCLR

    plain, calls = SimCLR.forward, []

    def poisoned(self, batch, progress):
        output = plain(self, batch, progress)
        calls.append(progress)
        if len(calls) == 12:
            output.terms["repulsion"].register_hook(lambda gradient: gradient * math.inf)
        return output

    monkeypatch.setattr(SimCLR, "forward", poisoned)
    with pytest.raises(Diverged, match="step 11"):
        pretrain(tmp_path / "run", save_every=1)
    state = files.load(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 11
    assert all(torch.isfinite(value).all() for value in state["method"].values())
    assert not (tmp_path / "run" / "backbone.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "the GPU is out of memory: try a smaller",
        ),
        (MemoryError("an image of 9 GB"), r"out of memory \(an image of 9 GB\): try fewer --workers"),
    ],
)
def test_too_little_memory_is_said_with_what_takes_less(error, words, tmp_path, monkeypatch):
    def none(*_, **__):
        raise error

    monkeypatch.setattr("twofold.training.loop.learn", none)
    with pytest.raises(Failed, match=words):
        pretrain(tmp_path / "run")


@pytest.mark.parametrize("name", [COMPLETE, NORMS, WORSE, FORGETTING])
def test_a_run_stops_for_what_is_a_sign_of_collapse(name, tmp_path, monkeypatch):
    """Not for features that are worse than at the start, which `diagnose` does not exit with 3 for either."""
    found = Finding(name, 3, "seen", "a cause", "advice")
    monkeypatch.setattr(live, "examine", lambda rows, settings: [found] if len(rows) > 2 else [])
    wanted = dict(on_collapse="stop", measure_every=1, knn_every=0)
    if name in (WORSE, FORGETTING):
        run = pretrain(tmp_path / "run", **wanted)
        assert len(run.metrics) == 12
        assert f"{name} since step 3" in (run.path / "log.txt").read_text()
    else:
        with pytest.raises(Collapsed, match=f"stopped at step 3 of 12: {name}"):
            pretrain(tmp_path / "run", **wanted)
