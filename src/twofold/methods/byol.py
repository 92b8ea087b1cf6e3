"""BYOL, arXiv 2006.07733.

family    distillation
views     two, each passes through both sides
topology  momentum encoder on the y side, projectors; predictor on the x side
D         2 - 2 cos
A, B      none: the predictor and the slowly moving target prevent collapse
loss      2 - 2 cos(predicted x, target y), plus the same with x and y swapped
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold import dist
from twofold.batch import Batch
from twofold.losses import cosine, squared
from twofold.methods.base import Exported, Method, Output, Setup, directions, mean
from twofold.nets.heads import mlp, predictor
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.rules import Facts, momentum_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), saturation=0.2, hue=0.1, solarize=(0.0, 0.2))
LARGE = dict(blur=(1.0, 0.1))


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.99 to 1, for photographs 0.996 to 1; lower in a short run"""
    return momentum_within(facts, 0.996 if facts.photographs else 0.99, 1.0)


@dataclass(frozen=True, kw_only=True)
class Options:
    momentum: tuple[float, float] = setting(
        None, "momentum of the momentum encoder at the start and end of the run; 0 0: it equals the trained network",
        auto=published_momentum, low=0, high=1,
    )  # fmt: skip
    normalize: bool = setting(
        True, "true: compare unit vectors; false: take the mean squared error of embeddings as they are"
    )
    exported: Literal["online", "target"] = setting(
        "online",
        "which backbone is evaluated and exported: online, the one that learns, or target, the momentum encoder's",
    )
    projector: tuple[int, ...] = setting((4096, 256), "widths of the projector's layers; empty: none", low=1)
    predictor: tuple[int, ...] = setting(
        (4096, 256),
        "widths of the predictor's layers, the last as wide as the projector's last; empty: no predictor",
        low=1,
    )
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "norm after every layer of projector and predictor but their last ones"
    )


class BYOL(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        width = setup.width(options.projector)
        self.predictor = predictor(width, options.predictor, options.projector_norm)
        self.target = MomentumEncoder(options.momentum, self.backbone, self.projector)
        self.side = options.exported
        self.energy = cosine if options.normalize else squared

    def forward(self, batch: Batch, progress: float) -> Output:
        predicted = [self.predictor(self.projector(self.encode(view))) for view in batch.views]
        targets = [self.target(view) for view in batch.views[:2]]
        loss = 2 * mean([self.energy(p, t) for p, t in directions(predicted, targets)])  # of two: their sum
        return Output({"energy": dist.mean(loss)}, tuple(dist.gather(p) for p in predicted))

    @property
    def exported(self) -> Exported:
        return Exported(*self.target.stages) if self.side == "target" else super().exported

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return 0.0
