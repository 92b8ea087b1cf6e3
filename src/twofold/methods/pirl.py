"""PIRL, arXiv 1912.01991.

family    contrastive
views     the image, and nine shuffled tiles of a wider crop of it
topology  shared weights; a head for the image, one for the tiles; a memory bank with one entry an image
D         cosine distance to the image's own entry over the temperature
A, B      repulsion: log of the summed similarity to entries of other images
loss      half InfoNCE(tiles, bank) + half InfoNCE(image, bank), in the softmax form
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from twofold.augment.tiles import TILES, cut_tiles
from twofold.batch import Batch, View
from twofold.dist import columns, gather, own
from twofold.errors import UsageError
from twofold.losses import attraction, repulsion_from
from twofold.losses.contrastive import Same
from twofold.methods.base import Method, Output, Setup
from twofold.methods.tile_side import tile_side
from twofold.nets.heads import mlp
from twofold.nets.memory import Bank
from twofold.recipe.rules import Facts
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), second_scale=(0.6, 1.0), jitter=1.0, hue=0.2)


def negative_count(facts: Facts) -> int:
    """4096, for photographs 32000; at most as many as there are images"""
    count = 32000 if facts.photographs else 4096
    return count if facts.images is None else min(count, facts.images)


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = setting(0.07, "temperature that similarities are divided by", low=1e-4)
    tiles: float = setting(0.5, "weight of the tiles' loss; the image's loss has 1 minus this", low=0, high=1)
    negatives: int = setting(
        None, "memory entries drawn as negatives in each step; 0: the batch's other images", auto=negative_count, low=0
    )
    bank_momentum: float = setting(0.5, "share of its old entry that an image keeps when seen again", low=0, high=1)
    normalize: bool = setting(True, "whether unit vectors are compared, not embeddings as they are")
    projector: tuple[int, ...] = setting((128,), "widths of the layers of both heads; empty: no heads", low=1)


class PIRL(Method):
    MULTI_CROP, NEIGHBOURS, MASK = False, False, "refused"

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        width = setup.width(options.projector)
        self.projector = mlp(setup.features, options.projector, "none")
        self.tile_projector = mlp(setup.features, options.projector, "none")
        self.join = nn.Linear(TILES * width, width)
        self.negatives = options.negatives if setup.images else 0  # without numbered images there can be no bank
        self.bank = Bank(setup.images if setup.images and self.negatives else 0, width)
        self.tile, self.o = tile_side(backbone, setup.size, setup.channels), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o, chance = self.o, batch.chance
        tiles = cut_tiles(batch.views[1].images, self.tile, chance.uniform("places", 2 * TILES))
        order = chance.uniform("order", TILES).argsort(1)
        tiles = tiles[torch.arange(len(order), device=order.device)[:, None], order].flatten(0, 1)
        shuffled = self.join(self.tile_projector(self.encode(View(tiles))).unflatten(0, (-1, TILES)).flatten(1))
        image = self.projector(self.encode(batch.views[0]))
        every = gather(image)
        if self.negatives:
            if batch.index is None:
                raise UsageError("PIRL's bank needs each image's number in the data: views(images, index=numbers)")
            numbers, negatives = self.bank.draw(chance.shared("negatives", self.negatives))
            entry, same = self.bank.read(batch.index, image), (batch.index, numbers)
            losses = [self.info_nce(rows, entry, negatives, same) for rows in (shuffled, image)]
            self.bank.update(gather(batch.index), every, o.bank_momentum)  # after the loss
        else:
            number = torch.arange(len(every), device=image.device)
            both, same = ((shuffled, image), (image, shuffled)), (own(number), number)
            losses = [self.info_nce(x, y, columns(y), same) for x, y in both]
        terms = {"tiles": o.tiles * losses[0], "image": (1 - o.tiles) * losses[1]}
        return Output(terms, (every, gather(shuffled)))

    def info_nce(self, query: Tensor, key: Tensor, negatives: Tensor, same: Same) -> Tensor:
        t, normalize = self.o.temperature, self.o.normalize
        repelled = repulsion_from(query, key, negatives, same, t, normalize, gather=True)
        return attraction(query, key, t, normalize, gather=True) + repelled

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(self.negatives + 1 if self.negatives else batch_size)
