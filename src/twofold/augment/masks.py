"""Masking as an augmentation: some patches of a view are dropped (by a vision transformer) or filled.

A transformer drops masked patches and saves their work. A convolution cannot drop them: filled patches have edges
that no image has, and it learns those. So there they are filled only when that is asked for.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from twofold.batch import Chance, View
from twofold.errors import UsageError
from twofold.nets.vit import patch_size
from twofold.recipe.recipe import Augment

BLOCKS = 32  # drawn for each image; they cover any share, as later ones fill what is left
BLOCK_AREA = (0.05, 0.3)  # of the image
BLOCK_RATIO = (0.3, 1 / 0.3)  # height over width, as BEiT's (arXiv 2106.08254, algorithm 1)


def random_order(chance: Chance, name: str, side: int) -> Int[Tensor, "n patches"]:
    """Patches in the order in which they are masked: any."""
    return chance.uniform(name, side * side).argsort(1)


def block_order(chance: Chance, name: str, side: int) -> Int[Tensor, "n patches"]:
    """Patches in the order in which they are masked: one rectangle after the other, each in any order."""
    area, ratio, top, left = chance.uniform(name, 4, BLOCKS).unbind(1)
    area = (BLOCK_AREA[0] + area * (BLOCK_AREA[1] - BLOCK_AREA[0])) * side * side
    low, high = torch.tensor(BLOCK_RATIO).log().tolist()
    ratio = (low + ratio * (high - low)).exp()
    lines = torch.arange(side, device=area.device)

    def covers(length: Float[Tensor, "n blocks"], place: Float[Tensor, "n blocks"]) -> Tensor:
        length = length.round().clamp(1, side)
        start = (place * (side - length + 1)).floor()
        return (lines >= start[..., None]) & (lines < (start + length)[..., None])  # [n, blocks, side]

    covered = covers((area * ratio).sqrt(), top)[..., :, None] & covers((area / ratio).sqrt(), left)[..., None, :]
    covered = covered.flatten(2)
    first = torch.where(covered.any(1), covered.int().argmax(1), BLOCKS)  # the block that masks it first
    return (first + chance.uniform(f"{name} ties", side * side)).argsort(1)


@dataclass(frozen=True)
class Masking:
    """How the views of a run are masked."""

    augment: Augment
    vit: VisionTransformer | None

    @classmethod
    def of(cls, augment: Augment, backbone: nn.Module) -> "Masking":
        """
        Raises:
            UsageError: if the backbone cannot drop patches, and filling them was not asked for.
        """
        vit = backbone if isinstance(backbone, VisionTransformer) else None
        if max(augment.mask) > 0 and not augment.mask_fill and vit is None:
            raise UsageError(
                "masking is for vision transformers, which drop the masked patches; a convolution would see artificial "
                f"edges around them ({type(backbone).__name__}); --mask-fill true fills them all the same"
            )
        return cls(augment, vit)

    def __call__(self, images: Tensor, number: int, chance: Chance) -> View:
        """View ``number`` of the images [n, C, S, S], masked as its share says."""
        a = self.augment
        share = a.mask[number] if number < len(a.mask) else 0.0
        if share == 0:
            return View(images)
        size = images.shape[-1]
        side = size // patch_size(self.vit) if self.vit else fill_grid(size)
        order = (block_order if a.mask_shape == "block" else random_order)(chance, f"mask {number}", side)
        masked = min(round(share * side * side), side * side - 1)
        if a.mask_fill:
            return View(fill(images, order[:, :masked], side))
        return View(images, order[:, masked:].sort(1).values)


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
        return torch.zeros(len(view), patches, dtype=torch.bool, device=view.images.device)
    all_hidden = torch.ones(len(view), patches, dtype=torch.bool, device=view.images.device)
    return all_hidden.scatter(1, view.ids_keep, False)
