"""SimCLR, arXiv 2002.05709.

views     two, symmetric
topology  shared weights, projector
D         cosine similarity over a temperature
A, B      repulsion: each view against the other 2N - 2 of the batch (InfoNCE)
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.dist import gather
from twofold.losses import nt_xent
from twofold.methods.base import Batch, Method, Output, mean, pairs
from twofold.nets.heads import mlp

RECIPE = dict(
    optimizer="lars",
    lr=0.4,
    weight_decay=1e-5,
    crop_scale=(0.08, 1.0),
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
)


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = 0.2
    """divides the similarities; lower stresses the hardest negatives"""
    projector: tuple[int, ...] = (2048, 256)
    """widths of the projector's layers; none: no projector"""
    projector_norm: Literal["batch", "layer", "none"] = "none"
    """after all layers but the last"""


class SimCLR(Method):
    def __init__(self, backbone: nn.Module, features: int, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(features, options.projector, options.projector_norm)
        self.temperature = options.temperature

    def forward(self, batch: Batch, progress: float) -> Output:
        views = [gather(self.projector(self.backbone(view))) for view in batch.views]
        loss = mean([nt_xent(x, y, self.temperature) for x, y in pairs(views)])
        return Output({"nt_xent": loss}, tuple(views))

    def trivial(self, batch: int) -> float:
        return math.log(2 * batch - 1)
