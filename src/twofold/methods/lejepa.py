"""LeJEPA, arXiv 2511.08544.

family    non-contrastive
views     two of full size, or more; small crops are drawn to the mean of the full-size ones
topology  shared weights, projector
D         mean squared error to the mean of the full-size views' embeddings
A, B      SIGReg: on random lines embeddings are distributed as a standard Gaussian
loss      mean over views of (1 - lambda) |z - mean|^2 / d + 256 lambda SIGReg(z)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from twofold import dist
from twofold.batch import Batch
from twofold.losses import sigreg, squared_to_mean
from twofold.losses.gaussianity import POINT
from twofold.methods.base import Method, Output, Setup, mean, together
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0), saturation=0.2, hue=0.1, solarize=(0.1, 0.1), small_solarize=0.1)
LARGE = dict(
    slices=1024, crop_scale=(0.3, 1.0), blur=(0.5, 0.5), solarize=(0.2, 0.2),
    small_crops=6, small_scale=(0.05, 0.3), small_blur=0.5, small_solarize=0.2,
)  # fmt: skip
SAMPLES = 256
"""The authors multiply SIGReg by the batch's size, so that lambda depends on it. Here lambda is that of this batch."""


@dataclass(frozen=True, kw_only=True)
class Options:
    sigreg: float = setting(0.05, "lambda, the weight of SIGReg; the weight of the energy is 1 - lambda", low=0, high=1)
    slices: int = setting(256, "on how many random lines SIGReg looks at the embeddings in each step", low=1)
    projector: tuple[int, ...] = setting((2048, 2048, 128), "widths of the projector's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after all projector layers but the last")


class LeJEPA(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        self.width, self.o = setup.width(options.projector), options

    def forward(self, batch: Batch, progress: float) -> Output:
        weight, views = self.o.sigreg, batch.views
        features = together(self.encode, views)  # the projector's norm sees the crops of all sizes at once
        embedded = self.projector(torch.cat(features)).split([len(view.images) for view in views])
        full = [z for z, view in zip(embedded, views, strict=True) if view.images.shape == views[0].images.shape]
        lines = batch.chance.shared_normal("lines", self.o.slices, self.width)
        gaussian = mean([sigreg(z, lines, gather=True) for z in embedded])
        energy = dist.mean(squared_to_mean(torch.stack(embedded), torch.stack(full)))
        terms = {"energy": (1 - weight) * energy, "sigreg": SAMPLES * weight * gaussian}
        return Output(terms, tuple(dist.gather(z) for z in embedded))

    def collapsed_loss(self, batch_size: int) -> float:
        return SAMPLES * self.o.sigreg * POINT
