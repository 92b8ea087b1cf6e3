"""SimCLR, arXiv 2002.05709.

family    contrastive
views     two, symmetric
topology  shared weights, projector
D         cosine distance over the temperature
A, B      repulsion: log of the summed similarity to the 2N - 1 other views of the batch
loss      mean over 2N views of -log exp(s+ / t) / sum over others exp(s / t), s the cosine
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.batch import Batch
from twofold.dist import gather
from twofold.losses import attraction, repulsion
from twofold.methods.base import Method, Output, Setup, mean, pairs
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
LARGE = dict(temperature=0.1, projector=(2048, 128), blur=(0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = setting(0.2, "similarities are divided by it; a lower one stresses hard negatives", low=1e-4)
    attraction: float = setting(1.0, "weight of the energy, which attracts an image's two embeddings")
    repulsion: float = setting(1.0, "weight of the repulsion from other images")
    normalize: bool = setting(True, "whether unit vectors are compared, not embeddings as they are")
    projector: tuple[int, ...] = setting((2048, 256), "widths of the projector's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("none", "norm after all projector layers but the last")
    last_norm: bool = setting(False, "whether a norm follows the projector's last layer too")


class SimCLR(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm, options.last_norm)
        self.o = options

    def forward(self, batch: Batch, progress: float) -> Output:
        o, views = self.o, [self.projector(self.encode(view)) for view in batch.views]
        attracted = [attraction(x, y, o.temperature, o.normalize, gather=True) for x, y in pairs(views)]
        repelled = [repulsion(x, y, o.temperature, o.normalize, gather=True) for x, y in pairs(views)]
        terms = {"attraction": o.attraction * mean(attracted), "repulsion": o.repulsion * mean(repelled)}
        return Output(terms, tuple(gather(z) for z in views))

    def collapsed_loss(self, batch_size: int) -> float:
        return self.o.repulsion * math.log(2 * batch_size - 1)
