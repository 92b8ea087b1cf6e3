"""VICReg, arXiv 2105.04906.

views     two, symmetric
topology  shared weights, expander
D         mean squared error
A, B      hinge on each dimension's standard deviation; squared off-diagonal covariance
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.dist import gather
from twofold.losses.decorrelation import vicreg_terms
from twofold.methods.base import Batch, Method, Output, mean, pairs
from twofold.nets.heads import mlp

RECIPE = dict(
    optimizer="lars",
    lr=0.3,
    weight_decay=1e-4,
    crop_scale=(0.2, 1.0),
    saturation=0.2,
    hue=0.1,
    solarize=(0.1, 0.1),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    invariance: float = 25.0
    """weight of the mean squared error between the two embeddings"""
    variance: float = 25.0
    """weight of the hinge on each dimension's standard deviation"""
    covariance: float = 1.0
    """weight of the squared covariance between dimensions"""
    projector: tuple[int, ...] = (2048, 2048, 2048)
    """widths of the expander's layers; none: no expander"""
    projector_norm: Literal["batch", "layer", "none"] = "batch"
    """after all layers but the last"""


class VICReg(Method):
    def __init__(self, backbone: nn.Module, features: int, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(features, options.projector, options.projector_norm)
        names = ("invariance", "variance", "covariance")
        self.weights: dict[str, float] = {name: getattr(options, name) for name in names}

    def forward(self, batch: Batch, progress: float) -> Output:
        views = [gather(self.projector(self.backbone(view))) for view in batch.views]
        terms = [vicreg_terms(x, y) for x, y in pairs(views)]
        weighed = {name: weight * mean([t[name] for t in terms]) for name, weight in self.weights.items()}
        return Output(weighed, tuple(views))

    def trivial(self, batch: int) -> float:
        return 0.99 * self.weights["variance"]
