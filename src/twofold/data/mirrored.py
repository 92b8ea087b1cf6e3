"""Whether a mirrored image is an image like the others, as of a landscape, or none of them, as of a letter."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

SIDE = 16
"""Images are compared at this side in pixels, or their own if that is less."""
NEIGHBOUR = 5
"""The distance to the nearest other image is small where a scene was taken twice; to this one it is less so."""
FEWEST = 100
"""Of fewer images nothing can be said."""
REPEATED = 0.2
"""An image repeats another one, as the next frame of a video does, if it is nearer to it than this share of the median
distance between two images. Of scanned digits half have another one at a share of 0.32, of TrashNet at 0.47."""
FARTHER = 1.1
"""Mirrored images are strange if they are more than so many times as far from the others as the images themselves."""


def thumbnail(image: np.ndarray) -> Float[Tensor, "c s s"]:
    """An image [C, H, W] of any kind, whole, at a side that all have in common."""
    pixels = torch.from_numpy(image.astype(np.float32))[None]
    return F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)[0]


def mirrored_alike(thumbnails: Float[Tensor, "n c s s"]) -> bool:
    """Whether mirrored images are as near to the others as the images themselves, where that can be said; else true.

    The median, over the images, of the distance of the mirrored image to its fifth nearest among the others, divided
    by the same distance of the image as it is, is 1 for photographs of everyday things (0.998 for CIFAR-10, 1.02 for
    TrashNet) and 1.36 for scanned digits. Repetitions, to which an image is near as it is and not when it is mirrored,
    are left out where enough others remain: with ten frames for each scene of TrashNet it would else be 6.
    """
    if len(thumbnails) < FEWEST:
        return True
    different = without_repetitions(thumbnails)
    thumbnails = different if len(different) >= FEWEST else thumbnails
    images, mirrored = thumbnails.flatten(1), thumbnails.flip(-1).flatten(1)
    as_it_is, turned = (torch.cdist(rows, images).fill_diagonal_(torch.inf) for rows in (images, mirrored))
    own, strange = (distances.kthvalue(NEIGHBOUR, dim=1).values for distances in (as_it_is, turned))
    return bool((strange / own.clamp_min(1e-12)).median() <= FARTHER)


def without_repetitions(thumbnails: Float[Tensor, "n c s s"]) -> Float[Tensor, "m c s s"]:
    """The images, in their order, that repeat none of those before them."""
    distances = torch.cdist(thumbnails.flatten(1), thumbnails.flatten(1))
    near = distances < REPEATED * distances[~torch.eye(len(thumbnails), dtype=torch.bool)].median()
    kept: list[int] = []
    for number in range(len(thumbnails)):
        if not near[number, kept].any():
            kept.append(number)
    return thumbnails[kept]
