"""Two processes compute what one does: the same loss, gradient and run on the same global batch, under any launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from twofold.recipe.declared import methods

ROOT = Path(__file__).parents[1]
RUNNING = ("simclr", "moco", "swav")
"""Methods whose whole runs are compared by default: without a memory, with one, and with local losses."""


def of_one_and_two(root, running):
    """What one process and two make of the same."""
    alone = [sys.executable, "-m", "tests.dist_driver", root, ",".join(running)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = [*launch, "-m", "tests.dist_driver", root, ",".join(running)]
    for command in (alone, together):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return [torch.load(root / f"{world}.pt") for world in (1, 2)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return of_one_and_two(tmp_path_factory.mktemp("dist"), RUNNING)


@pytest.mark.parametrize("method", methods())
def test_loss_and_gradient_of_a_step(method, found):
    one, two = (f[method] for f in found)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    compare(two["gradients"], one["gradients"])
    compare(two["buffers"], one["buffers"])  # queues, banks, centers
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
    found = of_one_and_two(tmp_path, others)
    for method in others:
        check_run(method, found)


def check_run(method, found):
    one, two = (f[method]["run"] for f in found)
    assert len(one) == 6
    assert one[0] != one[-1]
    assert two == pytest.approx(one, rel=1e-6)


def compare(some, others):
    assert some.keys() == others.keys()
    for key, value in others.items():
        torch.testing.assert_close(some[key], value, rtol=1e-6, atol=1e-9)
