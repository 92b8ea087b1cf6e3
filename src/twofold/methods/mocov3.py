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
from twofold.dist import gather
from twofold.losses import attraction, repulsion_from
from twofold.methods.base import Method, Output, Setup, directions, mean
from twofold.nets.heads import mlp, predictor
from twofold.nets.momentum import MomentumEncoder

RECIPE = dict(optimizer="lars", lr=0.3, weight_decay=1e-6, crop_scale=(0.2, 1.0), blur=(1.0, 0.1), solarize=(0.0, 0.2))
LARGE = dict(temperature=1.0, saturation=0.2)


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = 0.2
    """divides the similarities"""
    momentum: tuple[float, float] = (0.99, 1.0)
    """of the momentum encoder, from the first step to the last by a cosine; 0 0: none, the weights themselves"""
    attraction: float = 1.0
    """weight of the energy"""
    repulsion: float = 1.0
    """weight of the repulsion"""
    normalize: bool = True
    """compare unit vectors, not embeddings as they are"""
    projector: tuple[int, ...] = (4096, 256)
    """widths of the projector's layers; none: no projector"""
    predictor: tuple[int, ...] = (4096, 256)
    """widths of the predictor's layers, the last as the projector's; none: no predictor"""
    projector_norm: Literal["batch", "layer", "none"] = "batch"
    """of the projector, after every layer, and of the predictor, after all but the last"""


class MoCoV3(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm, last_norm=True)
        width = setup.width(options.projector)
        self.predictor = predictor(width, options.predictor, options.projector_norm)
        self.target, self.o = MomentumEncoder(options.momentum, self.backbone, self.projector), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o = self.o
        queries = [gather(self.predictor(self.projector(self.encode(view)))) for view in batch.views]
        keys = [gather(self.target(view)) for view in batch.views[:2]]
        own = torch.arange(len(keys[0]), device=keys[0].device)
        both = directions(queries, keys)
        attracted = [attraction(q, k, o.temperature, o.normalize) for q, k in both]
        repelled = [repulsion_from(q, k, k, (own, own), o.temperature, o.normalize) for q, k in both]
        scale = 2 * 2 * o.temperature  # of two views: the sum of both directions
        terms = {
            "attraction": o.attraction * scale * mean(attracted),
            "repulsion": o.repulsion * scale * mean(repelled),
        }
        return Output(terms, tuple(queries))

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch: int) -> float:
        return self.o.repulsion * 4 * self.o.temperature * math.log(batch)
