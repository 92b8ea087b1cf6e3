"""Two processes compute what one does: the same loss, gradient and run on the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from twofold.recipe.declared import methods

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process and two make of the same."""
    root = tmp_path_factory.mktemp("dist")
    alone = [sys.executable, "-m", "tests.dist_driver", root]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = [*launch, "-m", "tests.dist_driver", root]
    for command in (alone, together):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return [torch.load(root / f"{world}.pt") for world in (1, 2)]


@pytest.mark.parametrize("method", methods())
def test_loss_and_gradient_of_a_step(method, found):
    one, two = (f[method] for f in found)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert one["gradients"].keys() == two["gradients"].keys()
    for key, gradient in one["gradients"].items():
        torch.testing.assert_close(two["gradients"][key], gradient, rtol=1e-6, atol=1e-9)
    for key, buffer in one["buffers"].items():  # queues, banks, centers
        torch.testing.assert_close(two["buffers"][key], buffer, rtol=1e-6, atol=1e-9)
    assert any(gradient.abs().max() > 1e-4 for gradient in one["gradients"].values())


@pytest.mark.parametrize("method", methods())
def test_a_whole_run(method, found):
    one, two = (f[method]["run"] for f in found)
    assert len(one) == 6
    assert one[0] != one[-1]
    assert two == pytest.approx(one, rel=1e-6)
