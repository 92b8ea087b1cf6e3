"""PIRL, arXiv 1912.01991.

family    contrastive
views     the image, and nine shuffled tiles of it, of one mean colour and contrast
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
from twofold.dist import gather
from twofold.errors import UsageError
from twofold.losses import attraction, repulsion_from
from twofold.losses.contrastive import Same
from twofold.methods.base import Method, Output, Setup
from twofold.methods.tile_side import tile_side
from twofold.nets.heads import mlp
from twofold.nets.memory import Bank

RECIPE = dict(optimizer="sgd", lr=0.12, weight_decay=1e-4, crop_scale=(0.2, 1.0))
LARGE = dict(lr=0.03, negatives=32000)


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = 0.07
    """divides the similarities"""
    tiles: float = 0.5
    """weight of the tiles' loss; the image's has the rest"""
    negatives: int = 4096
    """entries of other images drawn in each step; 0: no memory, the batch's other images instead"""
    bank_momentum: float = 0.5
    """how much of its entry an image keeps when it is seen again"""
    normalize: bool = True
    """compare unit vectors, not embeddings as they are"""
    projector: tuple[int, ...] = (128,)
    """widths of both heads' layers"""


class PIRL(Method):
    MULTI_CROP, MASK = False, "refused"

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        width = setup.width(options.projector)
        self.projector = mlp(setup.features, options.projector, "none")
        self.tile_projector = mlp(setup.features, options.projector, "none")
        self.join = nn.Linear(TILES * width, width)
        self.bank = Bank(setup.images if options.negatives else 0, width)
        self.tile, self.o = tile_side(backbone, setup.size), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o, chance = self.o, batch.chance
        if batch.index is None:
            raise UsageError("PIRL remembers each image by its number in the data: views(images, index=numbers)")
        tiles = cut_tiles(batch.views[1].images, self.tile, chance.uniform("places", 2 * TILES))
        order = chance.uniform("order", TILES).argsort(1)
        tiles = tiles[torch.arange(len(order), device=order.device)[:, None], order].flatten(0, 1)
        shuffled = gather(self.join(self.tile_projector(self.encode(View(tiles))).unflatten(0, (-1, TILES)).flatten(1)))
        image, index = gather(self.projector(self.encode(batch.views[0]))), gather(batch.index)
        if o.negatives:
            numbers, negatives = self.bank.draw(chance.shared("negatives", o.negatives))
            entry = self.bank.read(index, image)
            losses = [self.info_nce(rows, entry, negatives, (index, numbers)) for rows in (shuffled, image)]
            self.bank.update(index, image, o.bank_momentum)  # after the loss
        else:
            losses = [self.info_nce(x, y, y, (index, index)) for x, y in ((shuffled, image), (image, shuffled))]
        terms = {"tiles": o.tiles * losses[0], "image": (1 - o.tiles) * losses[1]}
        return Output(terms, (image, shuffled))

    def info_nce(self, query: Tensor, key: Tensor, negatives: Tensor, same: Same) -> Tensor:
        t, normalize = self.o.temperature, self.o.normalize
        return attraction(query, key, t, normalize) + repulsion_from(query, key, negatives, same, t, normalize)

    def collapsed_loss(self, batch: int) -> float:
        return math.log(self.o.negatives + 1 if self.o.negatives else batch)
