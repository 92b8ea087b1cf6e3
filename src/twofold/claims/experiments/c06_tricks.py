"""Contrastive methods break without their tricks.

claim     InfoNCE works by a handful of tricks, and each is needed: both views through the same weights, embeddings at
          length 1, no gradient into the keys.
setup     InfoNCE of each view against the batch's keys with all three, then without each of them, one at a time, from
          the same first weights. Where the keys have weights of their own, the gradient goes into these, or they would
          never learn: that arm lacks two of the three. The features of the queries' backbone.
refuted   if features are as good without one of them.
note      SimCLR itself lets the gradient into both sides of a batch, so that this should do no harm is no wonder; keys
          of a memory could not have one. Of the three tricks only the length is needed here.
"""

import copy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from twofold.batch import Batch
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import FEATURES, Stage
from twofold.losses import attraction, repulsion_from
from twofold.methods.base import Method, Output
from twofold.nets.heads import mlp

STEPS, WIDTHS = 150, (128, 64)


@dataclass(frozen=True)
class Tricks:
    """What holds of the two sides."""

    shared: bool = True
    length_1: bool = True
    stop_gradient: bool = True


ALL = Tricks()
ARMS = {
    "all": ALL,
    "own weights a side": replace(ALL, shared=False),
    "any length": replace(ALL, length_1=False),
    "gradient into the keys": replace(ALL, stop_gradient=False),
}


class Contrast(Method):
    """InfoNCE of the first view's embeddings against the second view's, the batch's others as negatives."""

    def __init__(self, backbone: nn.Module, tricks: Tricks) -> None:
        super().__init__(backbone)
        self.projector, self.tricks = mlp(FEATURES, WIDTHS), tricks
        self.other: nn.Module | None = None
        if not tricks.shared:
            self.other = copy.deepcopy(nn.Sequential(self.backbone, self.projector))

    def forward(self, batch: Batch, progress: float) -> Output:
        x, y = batch.views
        query = self.projector(self.encode(x))
        key = self.projector(self.encode(y)) if self.other is None else self.other(y.images)
        key = key.detach() if self.tricks.stop_gradient and self.other is None else key
        own, unit = torch.arange(len(key)), self.tricks.length_1
        terms = {
            "attraction": attraction(query, key, 0.2, unit),
            "repulsion": repulsion_from(query, key, key, (own, own), 0.2, unit),
        }
        return Output(terms, (query, key))

    def collapsed_loss(self, batch_size: int) -> float:
        return 0.0


def run(stage: Stage) -> Measured:
    found: Measured = {"few": {}, "knn": {}}
    for arm, tricks in ARMS.items():
        method = stage.train(arm, stage.first("heads", partial(Contrast, stage.backbone(), tricks)), STEPS)
        found["few"][arm] = stage.few(method.backbone)
        found["knn"][arm] = stage.knn(method.backbone)
    return found


CLAIM = Claim(
    6,
    __doc__,
    run,
    measures={
        "few": "accuracy of the features: %, five labels a class",
        "knn": "accuracy of nearest neighbours: %, all labels",
    },
    expected=[Expected("few", "all", arm, 1.0) for arm in ARMS if arm != "all"],
)
