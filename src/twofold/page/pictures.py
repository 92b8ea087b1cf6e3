"""Views as the network sees them: cropped, distorted, masked or cut into tiles, by the code that trains."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.augment.masks import hidden
from twofold.augment.tiles import SIDE, TILES, cut_tiles, evened
from twofold.batch import Batch
from twofold.data.loader import Streamed
from twofold.data.plan import MicroBatch, Plan, sample
from twofold.data.sources import Source, Subset
from twofold.encoding.crops import central_crops
from twofold.methods.base import Method
from twofold.methods.building import build_method
from twofold.nets.backbone import BackboneSpec
from twofold.nets.normalize import Normalize
from twofold.nets.vit import patch_size
from twofold.page.bands import PICTURE, Look
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import replace
from twofold.training.prepare import Preparation

LARGEST = 128
"""The side in pixels that larger pictures are shrunk to."""
PLAIN = 32
"""Up to this side pictures are kept exactly."""
GAP = 8
"""Tiles are so many times as wide as the gap between them."""
TRIED = 4
"""How many images are tried for one that is shown, as some may be unreadable."""


@dataclass(frozen=True)
class Picture:
    """A data URI, and the picture's side as a share of a full-size view's."""

    uri: str
    share: float = 1.0


@dataclass(frozen=True)
class ImageViews:
    """An image and, for each of some steps, its views in it."""

    image: Picture
    steps: list[list[Picture]]


def views_of_images(
    source: Source,
    settings: Recipe,
    spec: BackboneSpec,
    backbone: nn.Module,
    images: int = 6,
    steps: int = 3,
    look: Look = PICTURE,
    kept: Path | None = None,
) -> list[ImageViews]:
    """Some images and their views in the first steps of a run on these images alone, as ``look`` has them.

    Args:
        backbone: as ``spec`` describes it, with any weights: its kind and its patches decide what a view is.
        kept: the directory of the run, where its method finds what it was given.
    """
    tried = sample(source, TRIED * images)
    found = [
        (n, crop) for numbers, crops in central_crops(tried, settings.image_size) for n, crop in zip(numbers, crops)
    ]
    if not found:
        return []
    chosen = Subset(tried, [number for number, _ in found[:images]])
    rows = [ImageViews(picture(look(crop[None])[0], settings.image_size), []) for _, crop in found[:images]]

    settings = replace(settings, accumulate=1)
    count, cpu = len(chosen), torch.device("cpu")
    method = build_method(settings, spec, count, backbone, kept)
    prepare = Preparation(settings, method, count, cpu, torch.float32)
    loader = Streamed(chosen, cpu, 0, 1.0, lambda *_: None)
    parts = [MicroBatch(step, slice(0, count)) for step in range(steps)]
    for crops in loader.load(Plan(count, count, settings.seed), prepare.views, parts):
        views = [restored(view, settings, look) for view in seen(prepare(crops), method)]
        for place, number in enumerate(crops.index.tolist()):
            rows[number].steps.append([picture(view[place], settings.image_size) for view in views])
    return rows


def seen(batch: Batch, method: Method) -> list[Float[Tensor, "n c s s"]]:
    """A batch's views, normalised, and as a last channel what is visible: 0 where a patch is masked, between tiles."""
    found = []
    for view in batch.views:
        size = view.images.shape[-1]
        visible = torch.ones(len(view.images), 1, size, size)
        if view.ids_keep is not None:
            side = size // patch_size(method.backbone)
            visible = F.interpolate((~hidden(view, side * side)).float().view(-1, 1, side, side), (size, size))
        found.append(torch.cat([view.images, visible], 1))
    tile = getattr(method, "tile", 0)
    if tile:
        last = method.VIEWS - 1  # of the full-size views
        found[last] = shuffled(batch, last, tile, getattr(method, "orders", None))
    return found


def shuffled(batch: Batch, number: int, tile: int, orders: Tensor | None) -> Float[Tensor, "n c s s"]:
    """A view's nine tiles as jigsaw (evened, in a known one of ``orders``) or PIRL (any order) puts them, with gaps."""
    images, chance = batch.views[number].images, batch.chance
    tiles = cut_tiles(images, tile, chance.uniform("places", 2 * TILES))
    if orders is None:
        order = chance.uniform("order", TILES).argsort(1)
    else:
        tiles = evened(tiles, images)
        order = orders[(chance.uniform("order") * len(orders)).long().clamp_max(len(orders) - 1)]
    tiles = tiles[torch.arange(len(tiles))[:, None], order]
    framed = F.pad(torch.cat([tiles, torch.ones_like(tiles[:, :, :1])], 2), (0, max(1, tile // GAP)) * 2)
    n, _, c, side, _ = framed.shape
    return framed.view(n, SIDE, SIDE, c, side, side).permute(0, 3, 1, 4, 2, 5).reshape(n, c, SIDE * side, SIDE * side)


def restored(images: Float[Tensor, "n c s s"], settings: Recipe, look: Look = PICTURE) -> UInt8[Tensor, "n 4 s s"]:
    """Undo the normalisation, and show it as ``look`` does; the last channel stays."""
    shown = look(Normalize(settings.mean, settings.std).undo(images[:, :-1]))
    return torch.cat([shown, (images[:, -1:] * 255).round().byte()], 1)


def picture(image: UInt8[Tensor, "c s s"], full: int) -> Picture:
    """An image with 3 channels, or 4 of which the last says what is visible."""
    share = min(1.0, image.shape[-1] / full)
    if image.shape[-1] > LARGEST:
        image = F.interpolate(image[None], (LARGEST, LARGEST), mode="bilinear", antialias=True)[0]
    file = io.BytesIO()
    shown = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    shown.save(file, "WEBP", quality=85, lossless=image.shape[-1] <= PLAIN)
    return Picture("data:image/webp;base64," + base64.b64encode(file.getvalue()).decode(), share)
