"""Weights between those of the start and those that were learned."""

import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tests.conftest import TINY
from twofold.nets.interpolated import interpolate


def networks():
    """A small ResNet, and the same trained a little with batch norms that follow the batches."""
    torch.manual_seed(3)
    start = timm.create_model("resnet18", num_classes=0, **TINY["backbone_arguments"])
    learned = copy.deepcopy(start)
    optimizer = torch.optim.SGD(learned.parameters(), 0.1)
    for _ in range(3):
        learned(torch.randn(8, 3, 16, 16)).square().mean().backward()
        optimizer.step()
    return start, learned


def numbers(network):
    return {name: value.double().numpy().copy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_every_weight_and_statistic_is_the_authors_mixture(share):
    """(1 - alpha) of the start and alpha of what was learned, of every tensor, here by NumPy."""
    network, learned = networks()
    before, after = numbers(network), numbers(learned)
    interpolate(network, learned, share)
    mixed = numbers(network)
    assert list(mixed) == list(after)
    for name, value in mixed.items():
        counted = name.endswith("num_batches_tracked")
        expected = after[name] if counted else (1 - share) * before[name] + share * after[name]
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)
    assert all(np.array_equal(value, after[name]) for name, value in numbers(learned).items())
    assert sum(not np.array_equal(before[name], value) for name, value in after.items()) > 20


def test_a_weight_that_two_layers_share_is_mixed_once():
    learned = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    learned[1].weight = learned[0].weight
    network = copy.deepcopy(learned)
    nn.init.zeros_(network[0].weight)
    interpolate(network, learned, 0.5)
    assert network[0].weight is network[1].weight
    torch.testing.assert_close(network[0].weight, learned[0].weight / 2, rtol=0, atol=0)
