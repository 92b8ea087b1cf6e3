"""Masking as an augmentation: some patches of a view are dropped (by a vision transformer) or filled.

A transformer drops masked patches and saves their work. A convolution cannot drop them: filled patches have edges
that no image has, and it learns those. So there they are filled only when that is asked for.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from twofold.batch import Chance, View

Shape = Literal["random", "block"]

BLOCKS = 32  # drawn for each image, one after the other
SMALLEST_BLOCK = 16 / 196  # of the patches, as BEiT's (arXiv 2106.08254, algorithm 1)
BLOCK_RATIO = (0.3, 1 / 0.3)  # height over width, likewise


def random_order(chance: Chance, name: str, side: int) -> Int[Tensor, "n patches"]:
    """Patches in the order in which they are masked: any."""
    return chance.uniform(name, side * side).argsort(1)


def block_order(chance: Chance, name: str, side: int, count: int) -> Int[Tensor, "n patches"]:
    """Patches in the order in which they are masked, of which ``count`` will be: one rectangle after the other.

    A rectangle has at least `SMALLEST_BLOCK` of the patches and at most as many as are still to be masked, is smaller
    than the image, and is left out if it would mask more than that, or nothing. What is missing at the end, as every
    image has equally many, is taken from those that were left out.
    """
    area, ratio, top, left = chance.uniform(name, 4, BLOCKS).unbind(1)
    low, high = torch.tensor(BLOCK_RATIO, dtype=torch.float32).log().tolist()
    ratio = (low + ratio * (high - low)).exp()
    smallest, lines = SMALLEST_BLOCK * side * side, torch.arange(side, device=area.device)

    def covers(length: Float[Tensor, " n"], place: Float[Tensor, " n"]) -> Tensor:
        start = (place * (side - length + 1)).floor()
        return (lines >= start[:, None]) & (lines < (start + length)[:, None])  # [n, side]

    turn = torch.full((len(area), side * side), 2.0 * BLOCKS, device=area.device)  # of each patch, to be masked
    for block in range(BLOCKS):
        left_over = count - (turn < BLOCKS).sum(1)
        patches = (smallest + area[:, block] * (left_over - smallest)).clamp_min(0)
        height = (patches * ratio[:, block]).sqrt().round().clamp_min(1)
        width = (patches / ratio[:, block]).sqrt().round().clamp_min(1)
        fits = (height < side) & (width < side)
        rows = covers(height.clamp_max(side), top[:, block])
        covered = (rows[:, :, None] & covers(width.clamp_max(side), left[:, block])[:, None, :]).flatten(1)
        new = (covered & (turn >= BLOCKS)).sum(1)
        taken = fits & (new > 0) & (new <= left_over)
        mine = torch.where(taken, float(block), float(BLOCKS + block))[:, None]
        turn = torch.where(covered & (fits[:, None]), torch.minimum(turn, mine), turn)
    return (turn + chance.uniform(f"{name} ties", side * side)).argsort(1)


def masked_patches(
    side: int, share: float, shape: Shape, chance: Chance, name: str = "mask 0"
) -> tuple[Int[Tensor, "n masked"], Int[Tensor, "n kept"]]:
    """The numbers of the patches, of ``side * side`` in row-major order, that are masked, and of those that are kept.

    Args:
        side: patches along an image's side.
        share: of the patches, that is masked; at least one is kept.
        shape: ``random``: anywhere; ``block``: in rectangles.
        chance: what is drawn, for each of its rows.
        name: of the stream it is drawn from; "mask 0" is that of a batch's first view.
    """
    count = min(round(share * side * side), side * side - 1)
    order = block_order(chance, name, side, count) if shape == "block" else random_order(chance, name, side)
    return order[:, :count], order[:, count:].sort(1).values


def masked(view: View, side: int, share: float, shape: Shape, chance: Chance, name: str = "mask 0") -> View:
    """The view with some patches masked, for a vision transformer to drop; arguments as of `masked_patches`."""
    return View(view.images, masked_patches(side, share, shape, chance, name)[1])


def filled(view: View, side: int, share: float, shape: Shape, chance: Chance, name: str = "mask 0") -> View:
    """The view with some patches painted, for a network that cannot drop them; arguments as of `masked_patches`."""
    return View(fill(view.images, masked_patches(side, share, shape, chance, name)[0], side))


def fill_grid(size: int) -> int:
    """Patches along the side where the backbone has none of its own: 16 pixels each, of small images an eighth."""
    return max(1, size // 16) if size > 64 else min(8, size)


def fill(images: Float[Tensor, "n c h w"], masked: Int[Tensor, "n k"], side: int) -> Float[Tensor, "n c h w"]:
    """Paint patches with 0, the mean colour of normalised images."""
    visible = torch.ones(len(images), side * side, device=images.device, dtype=images.dtype)
    visible = visible.scatter(1, masked, 0.0).view(-1, 1, side, side)
    return images * nn.functional.interpolate(visible, images.shape[-2:])


def hidden(view: View, patches: int) -> Tensor:
    """The patches that a masked view does not show, as a mask: bool [n, patches]."""
    if view.ids_keep is None:
        return torch.zeros(len(view.images), patches, dtype=torch.bool, device=view.images.device)
    all_hidden = torch.ones(len(view.images), patches, dtype=torch.bool, device=view.images.device)
    return all_hidden.scatter(1, view.ids_keep, False)


def of_hidden(rows: Shaped[Tensor, "n p d"], gone: Bool[Tensor, "n p"], count: int) -> Shaped[Tensor, "m d"]:
    """The rows of hidden patches, image by image in order, where ``count`` are hidden in each: ``rows[gone]``.

    The number being known, nobody waits for a device to count them.
    """
    order = gone.byte().argsort(dim=1, descending=True, stable=True)[:, :count, None]
    return rows.gather(1, order.expand(-1, -1, rows.shape[-1])).flatten(0, 1)
