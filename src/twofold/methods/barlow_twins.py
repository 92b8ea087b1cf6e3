"""Barlow Twins, arXiv 2103.03230.

family    non-contrastive
views     two, symmetric
topology  shared weights, expander
D         1 - correlation of each dimension with itself in the other view, squared
A, B      squared correlation of each dimension with every other one in the other view
loss      0.1 (sum over i of (C_ii - 1)^2 + 0.0051 sum over i != j of C_ij^2), C the cross-correlation
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.batch import Batch
from twofold.dist import gather
from twofold.losses.decorrelation import barlow_twins_terms
from twofold.methods.base import Method, Output, Setup, mean, pairs
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), saturation=0.2, hue=0.1, solarize=(0.0, 0.2))
LARGE = dict(scale=0.024, blur=(1.0, 0.1))


@dataclass(frozen=True, kw_only=True)
class Options:
    invariance: float = setting(1.0, "weight of the terms (C_ii - 1)^2")
    redundancy: float = setting(0.0051, "weight of the terms C_ij^2, relative to invariance")
    scale: float = setting(0.1, "factor that the whole loss is multiplied by")
    projector: tuple[int, ...] = setting((2048, 2048, 2048), "widths of the expander's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after all expander layers but the last")


class BarlowTwins(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        self.width = setup.width(options.projector)
        self.weights = {
            "invariance": options.scale * options.invariance,
            "redundancy": options.scale * options.redundancy,
        }

    def forward(self, batch: Batch, progress: float) -> Output:
        views = [self.projector(self.encode(view)) for view in batch.views]
        terms = [barlow_twins_terms(x, y, gather=True) for x, y in pairs(views)]
        weighed = {name: weight * mean([t[name] for t in terms]) for name, weight in self.weights.items()}
        return Output(weighed, tuple(gather(z) for z in views))

    def collapsed_loss(self, batch_size: int) -> float:
        return self.weights["invariance"] * self.width
