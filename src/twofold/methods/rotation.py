"""Rotation, arXiv 1803.07728.

family    pretext
views     one, turned by 0, 90, 180 and 270 degrees
topology  a classifier after the backbone
D         cross-entropy against the turn
A, B      none: the target is given
loss      mean over images and turns of -log softmax(classifier)[turn]
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from twofold import dist
from twofold.batch import Batch, View
from twofold.losses.precision import exact
from twofold.methods.base import Method, Output, Setup
from twofold.nets.heads import mlp
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.4, 1.0), jitter=0.0, grayscale=0.0)
TURNS = 4

cross_entropy = exact(F.cross_entropy)


@dataclass(frozen=True, kw_only=True)
class Options:
    projector: tuple[int, ...] = setting((), "widths of the layers between backbone and classifier; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after each of these layers")


class Rotation(Method):
    VIEWS, MULTI_CROP, TURNED = 1, False, False

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.classifier = mlp(setup.features, (*options.projector, TURNS), options.projector_norm)

    def forward(self, batch: Batch, progress: float) -> Output:
        view = batch.views[0]
        turned = torch.cat([torch.rot90(view.images, k, (2, 3)) for k in range(TURNS)])
        keep = None if view.ids_keep is None else view.ids_keep.repeat(TURNS, 1)
        features = self.encode(View(turned, keep))
        turn = torch.arange(TURNS, device=features.device).repeat_interleave(len(view.images))
        loss = cross_entropy(self.classifier(features), turn)
        return Output({"energy": dist.mean(loss)}, (dist.gather(features[: len(view.images)]),))

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(TURNS)
