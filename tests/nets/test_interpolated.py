"""Weights between those of the start and those that were learned."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tests.conftest import TINY
from twofold.nets.interpolated import interpolated


def networks():
    """A small ResNet, trained a little with batch norms that follow the batches, and what it started from."""
    torch.manual_seed(3)
    network = timm.create_model("resnet18", num_classes=0, **TINY["backbone_arguments"])
    start = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):
        network(torch.randn(8, 3, 16, 16)).square().mean().backward()
        optimizer.step()
    return network, start


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_every_weight_and_statistic_is_the_authors_mixture(share):
    """(1 - alpha) of the start and alpha of what was learned, of every tensor, here by NumPy."""
    network, start = networks()
    learned = {name: value.clone() for name, value in network.state_dict().items()}
    mixed = interpolated(network, start, share).state_dict()
    assert list(mixed) == list(learned)
    for name, value in mixed.items():
        a, b = start[name].double().numpy(), learned[name].double().numpy()
        expected = (1 - share) * a + share * b if value.is_floating_point() else b
        np.testing.assert_allclose(value.double().numpy(), expected, rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(value, start[name]) for name, value in learned.items())
    assert all(torch.equal(value, learned[name]) for name, value in network.state_dict().items())


def test_a_weight_that_two_layers_share_is_mixed_once():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)).double()
    network[1].weight = network[0].weight
    start = {name: torch.zeros(4, 4) for name in ("0.weight", "1.weight")}  # in float32, as files have it
    mixed = interpolated(network, start, 0.5)
    assert mixed[0].weight is mixed[1].weight
    torch.testing.assert_close(mixed[0].weight, network[0].weight / 2, rtol=0, atol=0)
