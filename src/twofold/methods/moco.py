"""MoCo v2, arXiv 2003.04297.

family    contrastive
views     two; the one is the query, the other the key, and the other way round
topology  momentum encoder on the y side, projectors; a queue of past keys
D         cosine distance over the temperature
A, B      repulsion: log of the summed similarity to the key and to the queue's keys
loss      -log exp(q k / t) / (exp(q k / t) + sum over the queue exp(q k' / t)), mean over queries
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold import dist
from twofold.batch import Batch
from twofold.losses import attraction, repulsion_from
from twofold.losses.contrastive import Same
from twofold.methods.base import Method, Output, Setup, mean
from twofold.nets.heads import mlp
from twofold.nets.memory import Queue
from twofold.nets.momentum import MomentumEncoder, shuffled
from twofold.recipe.rules import TEACHER, Facts, momentum_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0))
LARGE = dict(symmetric=False, blur=(0.5, 0.5))


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.99 to 0.999, for photographs 0.999; lower in a short run"""
    return momentum_within(facts, 0.999 if facts.photographs else 0.99, 0.999, TEACHER)


def queue_length(facts: Facts) -> int:
    """32768, for photographs 65536; at most two thirds of the images and a hundredth of all keys of the run"""
    lengths = [65536 if facts.photographs else 32768, facts.recent_images]
    return int(min(lengths if facts.images is None else [*lengths, facts.images * 2 // 3]))


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = setting(0.2, "temperature that similarities are divided by", low=1e-4)
    momentum: tuple[float, float] = setting(
        None, "momentum of the momentum encoder at the start and end of the run; 0 0: it equals the trained network",
        auto=published_momentum, low=0, high=1,
    )  # fmt: skip
    queue: int = setting(
        None, "how many past keys are the negatives; 0: the other keys of the batch are", low=0, high="images",
        auto=queue_length)  # fmt: skip
    symmetric: bool = setting(True, "whether both views are queries; false: only the first one, as in the paper")
    key_groups: int = setting(
        8, "in how many shuffled groups keys are computed, so that batch norms cannot reveal pairs; 1: no groups",
        low=1)  # fmt: skip
    attraction: float = setting(1.0, "weight of the energy, which attracts an image's two embeddings")
    repulsion: float = setting(1.0, "weight of the repulsion from other images")
    normalize: bool = setting(True, "whether unit vectors are compared, not embeddings as they are")
    projector: tuple[int, ...] = setting((2048, 128), "widths of the projector's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("none", "norm after all projector layers but the last")


class MoCo(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        self.target = MomentumEncoder(options.momentum, self.backbone, self.projector)
        width = setup.width(options.projector)
        self.queue, self.o = Queue(setup.at_most_images(options.queue), width), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o, views = self.o, dict(enumerate(batch.views))
        asked, answering = (views, (0, 1)) if o.symmetric else (views.keys() - {1}, (1,))
        queries = {i: self.projector(self.encode(views[i])) for i in asked}
        keys = {i: shuffled(self.target, views[i], batch.chance, f"keys {i}", o.key_groups) for i in answering}
        both = [(q, dist.own(k), self.negatives(k)) for i, q in queries.items() for j, k in keys.items() if i != j]
        attracted = [attraction(q, k, o.temperature, o.normalize, gather=True) for q, k, _ in both]
        repelled = [repulsion_from(q, k, *others, o.temperature, o.normalize, gather=True) for q, k, others in both]
        self.queue.enqueue(torch.cat(list(keys.values())))  # after the loss
        terms = {"attraction": o.attraction * mean(attracted), "repulsion": o.repulsion * mean(repelled)}
        return Output(terms, tuple(dist.gather(q) for q in queries.values()))

    def negatives(self, key: Tensor) -> tuple[Tensor, Same]:
        """The queue; without one the batch's keys, each left out against its own query."""
        number = torch.arange(len(key), device=key.device)
        return (self.queue.rows, None) if len(self.queue.rows) else (key, (dist.own(number), number))

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return self.o.repulsion * math.log((len(self.queue.rows) or batch_size - 1) + 1)
