"""MoCo v3, arXiv 2104.02057.

family    contrastive
views     two, each is query and key
topology  momentum encoder on the y side, projectors; predictor on the x side; no memory
D         cosine distance over the temperature
A, B      repulsion: log of the summed similarity to the batch's keys
loss      2 t times -log exp(q k / t) / sum over the batch exp(q k' / t), summed over both directions
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from twofold.batch import Batch
from twofold.dist import gather, own, world
from twofold.losses import attraction, repulsion_from
from twofold.methods.base import Method, Output, Setup, directions, mean
from twofold.nets.heads import mlp, predictor
from twofold.nets.momentum import MomentumEncoder
from twofold.nets.vit import transformer
from twofold.recipe.rules import Facts, momentum_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0), blur=(1.0, 0.1), solarize=(0.0, 0.2))
LARGE = dict(temperature=1.0, saturation=0.2)


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.99 to 1; lower in a short run"""
    return momentum_within(facts, 0.99, 1.0)


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = setting(0.2, "temperature that similarities are divided by", low=1e-4)
    momentum: tuple[float, float] = setting(
        None, "momentum of the momentum encoder at the start and end of the run; 0 0: it equals the trained network",
        auto=published_momentum, low=0, high=1,
    )  # fmt: skip
    attraction: float = setting(1.0, "weight of the energy, which attracts an image's two embeddings")
    repulsion: float = setting(1.0, "weight of the repulsion from other images")
    normalize: bool = setting(True, "whether unit vectors are compared, not embeddings as they are")
    projector: tuple[int, ...] = setting((4096, 256), "widths of the projector's layers; empty: none", low=1)
    predictor: tuple[int, ...] = setting(
        (4096, 256),
        "widths of the predictor's layers, the last as wide as the projector's last; empty: no predictor",
        low=1,
    )
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "norm after every layer of the projector, and after every layer of the predictor but the last"
    )
    last_norm: bool = setting(False, "whether a norm follows the predictor's last layer too, as for transformers")
    freeze_patches: bool = setting(False, "whether a vision transformer's patch projection is not trained")


class MoCoV3(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm, last_norm=True)
        width = setup.width(options.projector)
        self.predictor = predictor(width, options.predictor, options.projector_norm, options.last_norm)
        if options.freeze_patches:
            transformer(backbone, "freeze_patches").patch_embed.requires_grad_(False)
        self.target, self.o = MomentumEncoder(options.momentum, self.backbone, self.projector), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o = self.o
        queries = [self.predictor(self.projector(self.encode(view))) for view in batch.views]
        keys = [self.target(view) for view in batch.views[:2]]
        number = torch.arange(len(keys[0]) * world(), device=keys[0].device)
        both, same = directions(queries, keys), (own(number), number)
        attracted = [attraction(q, k, o.temperature, o.normalize, gather=True) for q, k in both]
        repelled = [repulsion_from(q, k, gather(k), same, o.temperature, o.normalize, gather=True) for q, k in both]
        scale = 2 * 2 * o.temperature  # of two views: the sum of both directions
        terms = {
            "attraction": o.attraction * scale * mean(attracted),
            "repulsion": o.repulsion * scale * mean(repelled),
        }
        return Output(terms, tuple(gather(q) for q in queries))

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return self.o.repulsion * 4 * self.o.temperature * math.log(batch_size)
