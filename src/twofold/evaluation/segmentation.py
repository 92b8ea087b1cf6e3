"""Linear segmentation: a linear head on patches' features says the class of each pixel.

Between the patches' centres its scores are interpolated bilinearly, up to the size of the mask. As the head is linear,
that is the head of the interpolated features, so it is fitted on single pixels: a random few of each training image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import rng
from twofold.data.masks import IGNORED
from twofold.errors import UsageError
from twofold.evaluation.linear import Probe, fit_probe

PIXELS = 16_384
"""How many pixels of all training images together the head learns from, about."""
OF_ONE = 64
"""How many pixels of one image it learns from, at most."""
IMAGES = 2048
"""How many training images it learns from, at most."""

Maps = Iterable[tuple[Tensor, Sequence[Tensor]]]
"""Batches of images: the features of their patches, float [n, h, w, D], and their masks, n times uint8 [H, W]."""


@dataclass(frozen=True)
class Pixels:
    """Pixels that a head learns from: ``features`` [P, D], ``classes`` [P], and the number of each one's image [P]."""

    features: Tensor
    classes: Tensor
    images: Tensor


def sample_pixels(batches: Maps, images: int, seed: int) -> Pixels:
    """Random pixels of so many ``images``, none that is ignored. Which ones depends on the masks and the seed alone.

    Raises:
        UsageError: if the pixels are not of two classes at least.
    """
    each = max(1, min(OF_ONE, PIXELS // max(1, images)))
    features, classes, numbers = [], [], []
    image = 0
    for maps, masks in batches:
        for own, mask in zip(maps, masks, strict=True):
            places = (mask != IGNORED).nonzero()
            order = torch.randperm(len(places), generator=rng.generator(seed, "pixels", image))
            rows, columns = places[order[:each]].T
            if len(rows):
                features.append(at_pixels(own, mask.shape, rows, columns))
                classes.append(mask[rows, columns].long())
                numbers.append(torch.full_like(rows, image))
            image += 1
    values = torch.cat(classes).unique().tolist() if classes else []
    if len(values) < 2:
        seen = f"only the value {values[0]}" if values else "no value"
        raise UsageError(
            f"the training masks have {seen} beside {IGNORED}, which is ignored: there are no two classes to tell "
            "apart (classes are numbered 0, 1, 2, ...)"
        )
    return Pixels(torch.cat(features), torch.cat(classes), torch.cat(numbers))


def at_pixels(own: Tensor, shape: Sequence[int], rows: Tensor, columns: Tensor) -> Tensor:
    """The features [P, D] of pixels of a mask of that shape, between the features [h, w, D] of the patches."""
    y, x = ((places + 0.5) * 2 / length - 1 for places, length in zip((rows, columns), shape, strict=True))
    grid = torch.stack([x, y], -1)[None, None].to(own)
    sampled = F.grid_sample(own.permute(2, 0, 1)[None], grid, "bilinear", padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T


def fit_head(pixels: Pixels, strength: float | None = None, seed: int = 0) -> Probe:
    """The head; its strength, if none is given, is chosen by the pixels of held-out training images."""
    return fit_probe(pixels.features, pixels.classes, strength, seed, pixels.images)


def predict(head: Probe, own: Tensor, shape: Sequence[int]) -> Tensor:
    """The class of each pixel of an image, int64 of that shape [H, W], from its patches' features [h, w, D]."""
    scores = (own @ head.weights + head.intercepts).permute(2, 0, 1)[None]
    fine = F.interpolate(scores, (shape[0], shape[1]), mode="bilinear", align_corners=False)
    return head.names[fine[0].argmax(0)]


def count(head: Probe, batches: Maps) -> Tensor:
    """Of each of M images, for each class: pixels that are of it and are said to be, that are, that are said to be.

    int64 [M, 3, 255]; pixels that are ignored are not counted.

    Raises:
        UsageError: if there is no pixel to count.
    """
    counts = []
    for maps, masks in batches:
        for own, mask in zip(maps, masks, strict=True):
            valid = mask != IGNORED
            said, true = predict(head, own, mask.shape)[valid], mask[valid].long()
            counts.append(torch.stack([part.bincount(minlength=IGNORED) for part in (true[said == true], true, said)]))
    if not counts or not any(int(of_image[1].sum()) for of_image in counts):
        raise UsageError("there is no test image with a mask that can be read and has a pixel of a class")
    return torch.stack(counts)


def overlaps(counts: Tensor) -> tuple[Tensor, Tensor]:
    """The classes [K] that occur in the masks of all images together, and their intersections over unions [K].

    ``counts``: as `count` gives them.
    """
    both, true, said = counts.sum(0)
    classes = true.nonzero()[:, 0]
    union = (true + said - both)[classes]
    return classes, both[classes] / union


def accuracy(counts: Tensor) -> float:
    """The share of all pixels whose class is right."""
    both, true, _ = counts.sum(0)
    return float(both.sum() / true.sum())


def of_commonest(counts: Tensor, pixels: Pixels) -> tuple[float, float]:
    """The mean intersection over union and the accuracy of taking every pixel for the commonest training class."""
    true = counts.sum(0)[1]
    share = float(true[pixels.classes.bincount().argmax()] / true.sum())
    return share / int((true > 0).sum()), share
