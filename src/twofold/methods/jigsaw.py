"""Jigsaw, arXiv 1603.09246.

family    pretext
views     one, cut into 3 x 3 tiles with gaps, of one mean colour and contrast, in one of some known orders
topology  every tile through the same backbone; a classifier of all nine
D         cross-entropy against the order's number
A, B      none: the target is given
loss      mean over images of -log softmax(classifier)[number of the order]
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import dist
from twofold.augment.tiles import TILES, cut_tiles, distant_permutations, evened
from twofold.batch import Batch, View
from twofold.losses.precision import exact
from twofold.methods.base import Method, Output, Setup
from twofold.methods.tile_side import tile_side
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.4, 1.0), jitter=0.0, grayscale=0.3)
LARGE = dict(permutations=1000)

cross_entropy = exact(F.cross_entropy)


@dataclass(frozen=True, kw_only=True)
class Options:
    permutations: int = setting(100, "how many orders of the tiles are told apart", low=2, high=10000)
    projector: tuple[int, ...] = setting((256,), "widths of the layers that each tile's features pass", low=1)
    classifier: tuple[int, ...] = setting((1024,), "widths of the layers that all nine tiles pass together", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "norm after every layer of projector and classifier but the last"
    )


class Jigsaw(Method):
    VIEWS, MULTI_CROP, MASK = 1, False, "refused"
    orders: Tensor

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        width = setup.width(options.projector)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        classes = (*options.classifier, options.permutations)
        self.classifier = mlp(TILES * width, classes, options.projector_norm)
        self.tile = tile_side(backbone, setup.size, setup.channels)
        self.register_buffer("orders", distant_permutations(options.permutations, setup.seed).clone())

    def forward(self, batch: Batch, progress: float) -> Output:
        images, chance = batch.views[0].images, batch.chance
        tiles = evened(cut_tiles(images, self.tile, chance.uniform("places", 2 * TILES)), images)
        number = (chance.uniform("order") * len(self.orders)).long().clamp_max(len(self.orders) - 1)
        every = torch.arange(len(images), device=images.device)[:, None]
        features = self.encode(View(tiles[every, self.orders[number]].flatten(0, 1)))
        joined = F.relu(self.projector(features)).unflatten(0, (-1, TILES)).flatten(1)
        loss = cross_entropy(self.classifier(joined), number)
        embeddings = features.unflatten(0, (-1, TILES)).mean(1)
        return Output({"energy": dist.mean(loss)}, (dist.gather(embeddings),))

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(len(self.orders))
