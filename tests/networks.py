"""Networks that learn in seconds, for tests that train: `--backbone tests.networks:three_layers`."""

import torch
from torch import nn


def three_layers(features=16):
    """Three convolutions with batch norm, for images of 8 pixels: [N, 3, 8, 8] -> [N, features]."""

    def layer(before, after, stride):
        return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    layers = [*layer(3, 16, 1), *layer(16, 16, 2), *layer(16, features, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def wide(features=1024):
    """One linear layer, for images of 8 pixels: [N, 3, 8, 8] -> [N, features]. It costs little and gives much."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, features))


def teacher(features=24, channels=3):
    """Two convolutions whose weights are always the same: [N, channels, S, S] -> [N, features]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        layers = [nn.Conv2d(channels, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, features, 3, 1, 1)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def teacher_of_two_bands():
    """The same for images of two channels."""
    return teacher(channels=2)
