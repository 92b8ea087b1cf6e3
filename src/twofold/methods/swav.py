"""SwAV, arXiv 2006.09882.

family    clustering
views     two give codes and predict; small crops only predict
topology  shared weights, projector, prototypes of unit length; a queue of past embeddings may help small batches
D         cross-entropy between a view's assignment to prototypes and the other view's code
A, B      clusters of equal size: the codes are balanced by Sinkhorn's iterations
loss      mean over views of -sum over prototypes q(other view) log softmax(cos(z, prototype) / t)
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold import dist, losses
from twofold.batch import Batch
from twofold.methods.base import Method, Output, Setup, together
from twofold.nets.heads import Prototypes, mlp
from twofold.nets.memory import Queue
from twofold.recipe.rules import Facts, prototypes_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
LARGE = dict(blur=(0.5, 0.5), crop_scale=(0.14, 1.0), small_crops=6, small_scale=(0.05, 0.14), small_blur=0.5)


def prototype_count(facts: Facts) -> int:
    """3000, at most a tenth of the images"""
    return prototypes_within(facts, 3000)


@dataclass(frozen=True, kw_only=True)
class Options:
    prototypes: int = setting(None, "number of prototypes, each the centre of a cluster", low=2, auto=prototype_count)
    temperature: float = setting(0.1, "temperature that cosines are divided by in the prediction", low=1e-4)
    epsilon: float = setting(0.03, "what cosines are divided by in the code; a lower one makes it sharper", low=1e-4)
    iterations: int = setting(
        3, "number of Sinkhorn's iterations; 0: codes are not balanced, and one cluster may take all images", low=0
    )
    freeze_prototypes: float = setting(
        0.01, "share of the run, at its start, in which the prototypes stay as they are", low=0, high=1
    )
    queue: int = setting(
        0,
        "how many past embeddings of each view the codes are balanced with, never more than there are images; 0: none",
        low=0,
        high="images",
    )
    queue_from: float = setting(0.05, "share of the run after which the queue is used", low=0, high=1)
    projector: tuple[int, ...] = setting((2048, 128), "widths of the projector's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after all projector layers but the last")


class SwAV(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        width = setup.width(options.projector)
        self.prototypes, self.o = Prototypes(width, options.prototypes), options
        self.queue_x, self.queue_y = (Queue(setup.at_most_images(options.queue), width) for _ in "xy")

    def forward(self, batch: Batch, progress: float) -> Output:
        features = together(self.encode, batch.views)  # the projector's norm sees the crops of all sizes at once
        embedded = self.projector(torch.cat(features)).split([len(view.images) for view in batch.views])
        scores = [self.prototypes(z, frozen=progress < self.o.freeze_prototypes) for z in embedded]
        codes = [self.code(i, z, s, progress) for i, (z, s) in enumerate(zip(embedded[:2], scores, strict=False))]
        loss = losses.multi_crop(scores, codes, self.o.temperature)
        return Output({"energy": dist.mean(loss)}, tuple(dist.gather(z) for z in embedded))

    @torch.no_grad()
    def code(self, view: int, embedded: Tensor, scores: Tensor, progress: float) -> Tensor:
        """A view's balanced assignment, by the whole batch and the queue: this process's rows."""
        queue = (self.queue_x, self.queue_y)[view]
        use = progress >= self.o.queue_from and len(queue.filled) == len(queue.rows) > 0
        past = self.prototypes(dist.own(queue.rows)) if use else scores[:0]
        balanced = losses.sinkhorn(torch.cat([scores, past]), self.o.epsilon, self.o.iterations, gather=True)
        queue.enqueue(dist.gather(embedded))
        return balanced[: len(scores)]

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(self.o.prototypes)
