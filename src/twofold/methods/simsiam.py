"""SimSiam, arXiv 2011.10566.

family    distillation
views     two, each passes through both sides
topology  shared weights, projector; stop-gradient on the y side, predictor on the x side
D         -cos
A, B      none: the predictor and the stop-gradient prevent collapse
loss      mean over both directions of -cos(predicted x, y without gradient)
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from twofold import dist
from twofold.batch import Batch
from twofold.losses import negative_cosine, squared
from twofold.methods.base import Method, Output, Setup, directions, mean
from twofold.nets.heads import mlp, predictor
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0))
LARGE = dict(blur=(0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Options:
    stop_gradient: bool = setting(True, "whether the y side gets no gradient; if it does, embeddings collapse")
    normalize: bool = setting(
        True, "true: compare unit vectors; false: take the mean squared error of embeddings as they are"
    )
    projector: tuple[int, ...] = setting((2048, 2048, 2048), "widths of the projector's layers; empty: none", low=1)
    predictor: tuple[int, ...] = setting(
        (512, 2048),
        "widths of the predictor's layers, the last as wide as the projector's last; empty: no predictor",
        low=1,
    )
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "norm after every layer of the projector, and after every layer of the predictor but the last"
    )


class SimSiam(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm, last_norm=True)
        width = setup.width(options.projector)
        self.predictor = predictor(width, options.predictor, options.projector_norm)
        self.stop_gradient, self.energy = options.stop_gradient, negative_cosine if options.normalize else squared

    def forward(self, batch: Batch, progress: float) -> Output:
        embedded = [self.projector(self.encode(view)) for view in batch.views]
        predicted = [self.predictor(z) for z in embedded]
        targets = [z.detach() if self.stop_gradient else z for z in embedded[:2]]
        loss = mean([self.energy(p, t) for p, t in directions(predicted, targets)])
        return Output({"energy": dist.mean(loss)}, tuple(dist.gather(z) for z in embedded))

    def collapsed_loss(self, batch_size: int) -> float:
        return -1.0 if self.energy is negative_cosine else 0.0
