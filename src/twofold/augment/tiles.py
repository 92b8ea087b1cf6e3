"""Jigsaw tiles: a view cut into 3 x 3 tiles, and the permutations to shuffle them by.

A gap between the tiles, and one mean colour and contrast for all of them, keep a network that has to tell their order
from matching edges and colours instead of looking at what is there (arXiv 1603.09246, section 4.2).
"""

from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from twofold import rng
from twofold.errors import UsageError

SIDE = 3
TILES = SIDE * SIDE
TILE_SHARE = 64 / 75  # of a cell, the paper's
SMALLEST = 4  # side of a tile in pixels
SPREAD_FLOOR = 1e-2  # of a tile's pixels, so that a plain one is not blown up to noise


def tile_size(size: int, unit: int = 1) -> int:
    """Side of a tile cut from a view of ``size`` pixels, a multiple of ``unit`` (a transformer's patch).

    Raises:
        UsageError: if the view is too small to be cut.
    """
    side = int(size // SIDE * TILE_SHARE) // unit * unit
    if side < SMALLEST:
        raise UsageError(f"a view of {size} pixels is too small for {TILES} tiles: set a larger --image-size")
    return side


def cut_tiles(
    images: Float[Tensor, "n c s s"], size: int, places: Float[Tensor, "n 18"]
) -> Float[Tensor, "n 9 c {size} {size}"]:
    """Nine tiles, row by row, each at its own place (two numbers, 0 to 1) within its cell, as they are in the view."""
    n, c, whole, _ = images.shape
    cell = whole // SIDE
    room = max(0, cell - size)
    shift = (places.view(n, TILES, 2) * (room + 1)).floor().clamp_max(room).long()
    number = torch.arange(TILES, device=images.device)
    corner = torch.stack([number // SIDE, number % SIDE], 1) * cell
    corner = (corner + shift).clamp_max(whole - size)
    reach = torch.arange(size, device=images.device)
    rows = (corner[..., :1] + reach)[:, :, None, :, None]  # [n, 9, 1, size, 1]
    columns = (corner[..., 1:] + reach)[:, :, None, None, :]
    image = torch.arange(n, device=images.device)[:, None, None, None, None]
    channel = torch.arange(c, device=images.device)[:, None, None]
    return images[image, channel, rows, columns]


def evened(tiles: Float[Tensor, "n 9 c t t"], images: Float[Tensor, "n c s s"]) -> Float[Tensor, "n 9 c t t"]:
    """Tiles with the mean colour and contrast of the image that each was cut from, instead of their own.

    Neither tells tiles apart then, and what the backbone sees keeps the range that whole images have, in training and
    later.
    """
    mean, spread = mean_and_spread(tiles)
    all_mean, all_spread = mean_and_spread(images[:, None])
    return all_mean + (tiles - mean) * (all_spread / (spread + SPREAD_FLOOR))


def mean_and_spread(
    images: Float[Tensor, "n m c h w"],
) -> tuple[Float[Tensor, "n m c 1 1"], Float[Tensor, "n m 1 1 1"]]:
    """Mean colour, and the root mean squared difference from it over pixels and channels."""
    mean = images.mean((-2, -1), keepdim=True)
    return mean, (images - mean).square().mean((-3, -2, -1), keepdim=True).sqrt()


@lru_cache(maxsize=4)
def distant_permutations(count: int, seed: int) -> Int[Tensor, "count 9"]:
    """Permutations of nine tiles, each in turn the one farthest from its nearest chosen one.

    Distance is Hamming's, the number of places that differ (arXiv 1603.09246, algorithm 1, with the nearest chosen
    permutation instead of the mean over all). The first is drawn by the seed.
    """
    every = torch.from_numpy(np.array(list(permutations(range(TILES))), dtype=np.int8))
    generator = rng.generator(seed, "permutations")
    every = every[torch.randperm(len(every), generator=generator)]  # ties are broken at random
    chosen = [0]
    nearest = torch.full((len(every),), TILES + 1, dtype=torch.int8)
    for _ in range(count - 1):
        distance = (every != every[chosen[-1]]).sum(1, dtype=torch.int8)
        nearest = torch.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return every[chosen].long()
