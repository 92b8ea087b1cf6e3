"""Normalisation: one module for bytes and floats, there and back."""

import torch

from twofold.nets.normalize import Normalize

MEAN, STD = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)


def test_each_channel_is_shifted_and_scaled():
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    normalize = Normalize(MEAN, STD)
    expected = torch.stack([(images[:, c] / 255 - MEAN[c]) / STD[c] for c in range(3)], 1)
    torch.testing.assert_close(normalize(images), expected)
    assert torch.equal(normalize(images), normalize(images.float() / 255))
    torch.testing.assert_close(normalize.undo(normalize(images)), images / 255)


def test_it_follows_the_network_it_is_part_of():
    """Its numbers move with a network's weights, and are none of them."""
    network = torch.nn.Sequential(Normalize(MEAN, STD), torch.nn.Flatten(), torch.nn.Linear(12, 2)).double()
    assert network(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)).dtype == torch.float64
    assert list(network.state_dict()) == ["2.weight", "2.bias"]
