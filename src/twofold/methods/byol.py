"""BYOL, arXiv 2006.07733.

views     two, each passes through both sides
topology  momentum encoder on the y side, projectors; predictor on the x side
D         2 - 2 cos
A, B      none: the predictor and the slowly moving target prevent collapse
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold.dist import gather
from twofold.errors import UsageError
from twofold.losses import cosine
from twofold.methods.base import Batch, Method, Output, mean
from twofold.nets.heads import mlp
from twofold.nets.slow import MomentumEncoder
from twofold.schedule import cosine as cosine_schedule

RECIPE = dict(
    optimizer="lars",
    lr=1.0,
    weight_decay=1e-5,
    crop_scale=(0.08, 1.0),
    saturation=0.2,
    hue=0.1,
    solarize=(0.0, 0.2),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    momentum: float = 0.99
    """of the momentum encoder at the start; it rises to 1 by a cosine"""
    projector: tuple[int, ...] = (4096, 256)
    """widths of the projector's layers; none: no projector"""
    predictor: tuple[int, ...] = (4096, 256)
    """widths of the predictor's layers, the last as the projector's; none: no predictor"""
    projector_norm: Literal["batch", "layer", "none"] = "batch"
    """of projector and predictor, after all layers but the last"""


class BYOL(Method):
    def __init__(self, backbone: nn.Module, features: int, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(features, options.projector, options.projector_norm)
        embedding = options.projector[-1] if options.projector else features
        self.predictor = mlp(embedding, options.predictor, options.projector_norm)
        if options.predictor and options.predictor[-1] != embedding:
            raise UsageError(
                f"the predictor must end as the projector does, in {embedding}, not {options.predictor[-1]}"
            )
        self.target = MomentumEncoder(self.backbone, self.projector)
        self.momentum = options.momentum

    def forward(self, batch: Batch, progress: float) -> Output:
        predicted = [gather(self.predictor(self.projector(self.backbone(view)))) for view in batch.views]
        targets = [gather(self.target(view)) for view in batch.views[:2]]
        others = [(p, t) for i, p in enumerate(predicted) for j, t in enumerate(targets) if i != j]
        loss = 2 * mean([cosine(p, t) for p, t in others])  # of two views: the sum of both directions
        return Output({"cosine": loss}, tuple(predicted))

    def after_step(self, progress: float) -> None:
        self.target.follow(self.backbone, self.projector, momentum=cosine_schedule(self.momentum, 1.0, progress))

    def trivial(self, batch: int) -> float:
        return 0.0
