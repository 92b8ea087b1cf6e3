"""Grained shapes on grained grounds, told apart by the grain's direction alone, and a network that sees it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.conftest import encoded


class Directions(nn.Module):
    """How much an image changes from left to right and from top to bottom in patches of 8 pixels: [N, 2, S/8, S/8]."""

    def forward_features(self, images):
        across = F.pad(images.diff(dim=3), (0, 1)).abs().mean(1, keepdim=True)
        down = F.pad(images.diff(dim=2), (0, 0, 0, 1)).abs().mean(1, keepdim=True)
        return F.avg_pool2d(torch.cat([across, down], 1), 8)

    def forward(self, images):
        return self.forward_features(images).mean((2, 3))


def grain(size, upright, random):
    """Noise that is smooth in one direction, in two random colours, float [size, size, 3]."""
    noise = random.random((size, size + 4))
    smooth = np.mean([noise[:, shift : shift + size] for shift in range(4)], 0)
    low, high = random.uniform(0, 100, 3), random.uniform(155, 255, 3)
    return low + (high - low) * (smooth.T if upright else smooth)[..., None]


def shape(size, random):
    """A random disc or square, bool [size, size], about a quarter of the image."""
    y, x = np.mgrid[0:size, 0:size]
    middle, reach = random.uniform(0.35, 0.65, 2) * size, random.uniform(0.22, 0.3) * size
    far = np.stack([abs(y - middle[0]), abs(x - middle[1])])
    return (far.max(0) if random.random() < 0.5 else np.hypot(*far)) < reach


def grained(number, size=64):
    """A picture, uint8 [size, size, 3], and its mask: 1 in the shape, 0 around it, and 255 on its edge."""
    random = np.random.default_rng(number)
    inside = shape(size, random)
    picture = np.where(inside[..., None], grain(size, True, random), grain(size, False, random))
    mask = inside.astype(np.uint8)
    mask[:, 1:][inside[:, 1:] != inside[:, :-1]] = 255
    return picture.astype(np.uint8), mask


def draw(folder, count, first=0):
    """Write pictures with their masks beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        picture, mask = grained(number)
        (folder / f"{number:03}.png").write_bytes(encoded(picture))
        (folder / f"{number:03}_mask.png").write_bytes(encoded(mask))
