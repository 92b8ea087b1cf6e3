"""Sharpness, an example: a method of your own is one file, and nothing in twofold is edited for it.

family    contrastive
views     two, symmetric
topology  shared weights, projector
D         cosine distance, sharpened
A, B      repulsion: log of the summed similarity to the other views of the batch
loss      cosine distance to the power of `sharpness` + repulsion

    twofold methods own_method:Sharpness                                  # in this folder, or with it on PYTHONPATH
    twofold pretrain digits --method own_method:Sharpness --sharpness 1.5
"""

import math
from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

import twofold
from twofold import losses, setting
from twofold.dist import gather
from twofold.nets.heads import mlp

RECIPE = dict(crop_scale=(0.4, 1.0), lr=1e-3)


def widths(facts: twofold.Facts) -> tuple[int, ...]:
    """128 64, from 10,000 images on 512 128"""
    return (512, 128) if (facts.images or 0) >= 10_000 else (128, 64)


@dataclass(frozen=True, kw_only=True)
class Options:
    sharpness: float = setting(2.0, "power of the distance between two views", low=0.1)
    temperature: float = setting(0.2, "divides the similarities", low=1e-4)
    projector: tuple[int, ...] = setting(None, "widths of the projector", low=1, auto=widths)


class Sharpness(twofold.Method):
    def __init__(self, backbone: nn.Module, setup: twofold.Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector)  # by this name evaluation measures it too
        self.options = options

    def forward(self, batch: twofold.Batch, progress: float) -> twofold.Output:
        x, y = (gather(self.projector(self.encode(view))) for view in batch.views[:2])
        distance = (1 - F.cosine_similarity(x, y)).clamp_min(1e-6) ** self.options.sharpness
        terms = {"energy": distance.mean(), "repulsion": losses.repulsion(x, y, self.options.temperature)}
        return twofold.Output(terms, (x, y))

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(2 * batch_size - 1)


if __name__ == "__main__":
    run = twofold.pretrain("digits", method="own_method:Sharpness", backbone="test_resnet", epochs=5, out="runs/own")
    print(run.metrics[0]["loss"], "->", run.metrics[-1]["loss"])
