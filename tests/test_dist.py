"""Several processes compute what one does: the same loss, gradient and run on one global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.together import compare
from twofold.recipe.declared import methods

ROOT = Path(__file__).parents[1]
RUNNING = ("simclr", "moco", "swav")
"""Methods whose whole runs are compared by default: without a memory, with one, and with local losses."""


NORMED = [name for name in methods() if name not in ("data2vec", "mae")]
"""Methods whose networks may have batch norm."""


def by_processes(root, running, worlds=(1, 2)):
    """What so many processes make of the same."""
    for world in worlds:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)] if world > 1 else []
        command = [sys.executable, *launch, "-m", "tests.dist_driver", root, ",".join(running)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return [torch.load(root / f"{world}.pt") for world in worlds]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return by_processes(tmp_path_factory.mktemp("dist"), RUNNING)


@pytest.mark.parametrize("method", methods())
def test_loss_and_gradient_of_a_step(method, found):
    check_step(*(f[method] for f in found))


@pytest.mark.parametrize("method", NORMED)
def test_loss_and_gradient_of_a_step_with_batch_norm(method, found):
    one, two = (f["normed"][method] for f in found)
    check_step(one, two)
    assert any("running_mean" in key for key in one["buffers"])


def test_batch_norm_under_data_parallel(found):
    one, two = (f["normed"]["byol"] for f in found)
    compare(two["ddp"], one["gradients"])


def check_step(one, several):
    assert several["loss"] == pytest.approx(one["loss"], rel=1e-6)
    compare(several["gradients"], one["gradients"])
    compare(several["buffers"], one["buffers"])  # queues, banks, centers, running statistics
    assert any(gradient.abs().max() > 1e-4 for gradient in one["gradients"].values())


@pytest.mark.parametrize("launcher", ["ddp", "ddp in chunks", "fabric", "accelerate"])
@pytest.mark.parametrize("method", methods())
def test_the_gradient_under_others_launchers(method, launcher, found):
    """DistributedDataParallel averages gradients; the average is the gradient of one process with the whole batch."""
    one, two = (f[method] for f in found)
    compare(two[launcher], one["gradients"])


def test_losses_gather_on_request(found):
    one, two = (f["losses"] for f in found)
    assert len(one) == 32
    for name, (value, gradient) in one.items():
        assert two[name][0] == pytest.approx(value, rel=1e-9), name
        torch.testing.assert_close(two[name][1], gradient, rtol=1e-9, atol=1e-12)
        assert gradient.abs().max() > 1e-6


@pytest.mark.parametrize("method", RUNNING)
def test_a_whole_run(method, found):
    check_run(method, found)


@pytest.mark.slow
def test_a_whole_run_of_the_others(tmp_path):
    others = [name for name in methods() if name not in RUNNING]
    found = by_processes(tmp_path, others)
    for method in others:
        check_run(method, found)


@pytest.mark.slow
def test_four_processes(tmp_path):
    found = by_processes(tmp_path, RUNNING, (1, 4))
    for method in methods():
        check_step(*(f[method] for f in found))
    for method in NORMED:
        check_step(*(f["normed"][method] for f in found))
    for method in RUNNING:
        check_run(method, found)


def check_run(method, found):
    one, two = (f[method]["run"] for f in found)
    assert len(one) == 6
    assert one[0] != one[-1]
    assert two == pytest.approx(one, rel=1e-6)
