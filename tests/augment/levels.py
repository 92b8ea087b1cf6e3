"""Images, and how far two results are apart in the 255 levels of uint8."""

import torch

from tests.conftest import picture

N = 8
IMAGES = torch.stack([torch.from_numpy(picture(40, 48, seed)).permute(2, 0, 1) for seed in range(N)])
IMAGES[0] = IMAGES[0, :1]  # a grey one: no hue
IMAGES[1] = 255  # a white one
FLOAT = IMAGES / 255
LEVEL = 1 / 255


def assert_levels(ours, theirs, levels):
    """At most so many of the 255 levels apart."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= levels * LEVEL


def each(function, *parameters):
    """torchvision's operation on every uint8 image with its own parameters."""
    rows = zip(IMAGES, *(p.tolist() for p in parameters), strict=True)
    return torch.stack([function(image, *values) for image, *values in rows]) / 255


def factors(low, high):
    return torch.linspace(low, high, N)
