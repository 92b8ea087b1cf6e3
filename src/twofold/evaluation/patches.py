"""Features of patches of whole splits, a batch at a time: what the dense protocols read."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from twofold import rng
from twofold.data.crop import stacked
from twofold.data.sources import Source
from twofold.encoding.crops import BATCH, ahead, central_crop
from twofold.encoding.dense import Patchwise, patchwise, raw_patches
from twofold.encoding.progress import Tell
from twofold.errors import UsageError
from twofold.evaluation.representations import Representation
from twofold.evaluation.titles import RAW_PIXELS

SIDE = 512
"""Masks are looked at with so many pixels a side at most; of larger ones regularly spaced rows and columns."""


def patches_of(representations: Mapping[str, Representation]) -> dict[str, Patchwise]:
    """What makes features of patches, for each representation that is a backbone's, and for raw pixels.

    Raw pixels have the patches of the first backbone.

    Raises:
        UsageError: if a backbone has no map of patches.
    """
    found = {who: patchwise(it.start.encoder) for who, it in representations.items() if it.start}
    if found and RAW_PIXELS in representations:
        found[RAW_PIXELS] = raw_patches(next(iter(found.values())))
    return found


def some_of(numbers: Sequence[int], most: int, seed: int, split: str) -> list[int]:
    """At most so many of the numbers of a split's images, random ones, in their order."""
    order = torch.randperm(len(numbers), generator=rng.generator(seed, "images of patches", split))
    return [numbers[place] for place in order[:most].sort().values.tolist()]


def cut_mask(mask: np.ndarray, box: tuple[int, int, int]) -> Tensor:
    """The part of a mask [H, W] that lies in a square, its top, left and side: uint8 [s, s], s at most `SIDE`."""
    top, left, side = box
    part = torch.from_numpy(mask[top : top + side, left : left + side].copy())
    if side > SIDE:
        places = ((torch.arange(SIDE) + 0.5) * side / SIDE).long()
        part = part[places][:, places]
    return part


def masked_maps(
    source: Source, numbers: Sequence[int], dense: Patchwise, tell: Tell, what: str
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """The patches' features, float32 [n, h, w, D], and the masks, uint8 [s, s], of images that have one.

    Images that cannot be read are left out.

    Raises:
        UsageError: if a mask cannot be used, or is not of its image's size.
    """

    def read(number: int) -> tuple[Tensor, Tensor]:
        crop, mask = central_crop(source, number, dense.size, dense.interpolation), source.mask(number)
        assert mask is not None
        if mask.shape != (crop.height, crop.width):
            h, w = mask.shape
            raise UsageError(
                f"the mask of {source.name(number)} has {w} x {h} pixels, the image {crop.width} x {crop.height}"
            )
        return crop.pixels, cut_mask(mask, crop.box)

    done = 0
    for found in ahead(read, _batches(numbers, dense)):
        readable = [it for _, it in found if not isinstance(it, str)]
        if readable:
            yield dense.encode(stacked([crop for crop, _ in readable])).cpu(), [mask for _, mask in readable]
        done += len(found)
        tell(what, done, len(numbers))


def maps_of(source: Source, numbers: Sequence[int], dense: Patchwise, tell: Tell, what: str) -> Iterator[Tensor]:
    """The patches' features, float32 [n, h, w, D], of images that are known to be readable."""

    def read(number: int) -> Tensor:
        return central_crop(source, number, dense.size, dense.interpolation).pixels

    done = 0
    for found in ahead(read, _batches(numbers, dense)):
        yield dense.encode(stacked([crop for _, crop in found if isinstance(crop, Tensor)])).cpu()
        done += len(found)
        tell(what, done, len(numbers))


def _batches(numbers: Sequence[int], dense: Patchwise) -> Iterator[Sequence[int]]:
    at_once = dense.at_once(BATCH)
    return (numbers[first : first + at_once] for first in range(0, len(numbers), at_once))
