"""The device, the precision it is good at, and how images lie in its memory."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import picture
from tests.training.making import pretrain
from twofold import device
from twofold.errors import UsageError


def test_a_known_memory_corruption_is_avoided(tmp_path):
    """Eight channels at 64 pixels crashed in oneDNN with channels innermost (see `twofold.device.layout`)."""
    np.save(tmp_path / "images.npy", np.stack([picture(64, 64, i) for i in range(32)]))
    run = pretrain(tmp_path / "run", data=tmp_path / "images.npy", batch_size=16, epochs=2)
    assert math.isfinite(run.metrics[-1]["loss"])


@pytest.mark.parametrize(
    ("channels", "stride", "groups", "safe"), [(8, 2, 1, False), (16, 2, 1, True), (8, 1, 1, True), (32, 2, 4, False)]
)
def test_channels_are_innermost_where_that_is_safe(channels, stride, groups, safe):
    """The crash needs a strided 1x1 convolution of under 16 channels a group, on the CPU."""
    network = nn.Sequential(nn.Conv2d(channels, 32, 1, stride, groups=groups), nn.Conv2d(32, 32, 3))
    expected = torch.channels_last if safe else torch.contiguous_format
    assert device.layout(network, torch.device("cpu")) == expected
    assert device.layout(network, torch.device("cuda")) == torch.channels_last
    assert device.place(network, torch.device("cpu"))[1].weight.is_contiguous(memory_format=expected)


def test_what_there_is_not_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("cpu").type == "cpu"
    for name in ("cuda", "tpu"):
        with pytest.raises(UsageError, match=f"there is no {name} device here"):
            device.choose(name)
    assert device.choose(torch.device("cpu")) == torch.device("cpu")


def test_networks_run_in_the_precision_that_is_asked_for():
    network, rows = nn.Linear(4, 2), torch.randn(3, 4)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with device.autocast(torch.device("cpu"), precision):
            assert network(rows).dtype == dtype
