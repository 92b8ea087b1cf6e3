"""VICReg, arXiv 2105.04906.

family    non-contrastive
views     two, symmetric
topology  shared weights, expander
D         mean squared error
A, B      hinge on each dimension's standard deviation; squared off-diagonal covariance
loss      25 mse(x, y) + 25 (hinge(x) + hinge(y)) / 2 + covariance(x) + covariance(y)
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.batch import Batch
from twofold.dist import gather
from twofold.losses.decorrelation import vicreg_terms
from twofold.methods.base import Method, Output, Setup, mean, pairs, unit
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0), saturation=0.2, hue=0.1, solarize=(0.1, 0.1))
LARGE = dict(crop_scale=(0.08, 1.0), blur=(1.0, 0.1), solarize=(0.0, 0.2))


@dataclass(frozen=True, kw_only=True)
class Options:
    invariance: float = setting(25.0, "weight of the mean squared error between the two embeddings")
    variance: float = setting(25.0, "weight of the hinge on each dimension's standard deviation")
    covariance: float = setting(1.0, "weight of the squared covariance between dimensions")
    normalize: bool = setting(False, "whether embeddings are first scaled to length 1, where the hinge is never met")
    projector: tuple[int, ...] = setting((2048, 2048, 2048), "widths of the expander's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after all expander layers but the last")


class VICReg(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        self.normalize = options.normalize
        names = ("invariance", "variance", "covariance")
        self.weights: dict[str, float] = {name: getattr(options, name) for name in names}

    def forward(self, batch: Batch, progress: float) -> Output:
        views = [self.projector(self.encode(view)) for view in batch.views]
        if self.normalize:
            views = [unit(view) for view in views]
        terms = [vicreg_terms(x, y, gather=True) for x, y in pairs(views)]
        weighed = {name: weight * mean([t[name] for t in terms]) for name, weight in self.weights.items()}
        return Output(weighed, tuple(gather(z) for z in views))

    def collapsed_loss(self, batch_size: int) -> float:
        return 0.99 * self.weights["variance"]
