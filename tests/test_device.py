"""The device, the precision it is good at, and how images lie in its memory."""

import math

import numpy as np

from tests.conftest import picture
from tests.training.making import pretrain


def test_a_known_memory_corruption_is_avoided(tmp_path):
    """Eight channels at 64 pixels crashed in oneDNN with channels innermost (see `twofold.device.layout`)."""
    np.save(tmp_path / "images.npy", np.stack([picture(64, 64, i) for i in range(32)]))
    run = pretrain(tmp_path / "run", data=tmp_path / "images.npy", batch_size=16, epochs=2)
    assert math.isfinite(run.metrics[-1]["loss"])
