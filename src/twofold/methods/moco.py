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

RECIPE = dict(optimizer="sgd", lr=0.3, weight_decay=1e-4, crop_scale=(0.2, 1.0))
LARGE = dict(lr=0.03, queue=65536, momentum=(0.999, 0.999), symmetric=False, blur=(0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Options:
    temperature: float = 0.2
    """divides the similarities"""
    momentum: tuple[float, float] = (0.99, 0.999)
    """of the momentum encoder, from the first step to the last by a cosine; 0 0: none, the weights themselves"""
    queue: int = 32768
    """past keys that are negatives, never more than images; 0: the batch's other keys are"""
    symmetric: bool = True
    """both views are queries, as in later recipes; else the first only, as in the paper"""
    key_groups: int = 8
    """the batch's keys, shuffled, pass in so many groups, so that no batch norm gives query and key away; 1: at once"""
    attraction: float = 1.0
    """weight of the energy"""
    repulsion: float = 1.0
    """weight of the repulsion"""
    normalize: bool = True
    """compare unit vectors, not embeddings as they are"""
    projector: tuple[int, ...] = (2048, 128)
    """widths of the projector's layers; none: no projector"""
    projector_norm: Literal["batch", "layer", "none"] = "none"
    """after all layers but the last"""


class MoCo(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        self.projector = mlp(setup.features, options.projector, options.projector_norm)
        self.target = MomentumEncoder(options.momentum, self.backbone, self.projector)
        width = setup.width(options.projector)
        self.queue, self.o = Queue(min(options.queue, setup.images), width), options

    def forward(self, batch: Batch, progress: float) -> Output:
        o, views = self.o, dict(enumerate(batch.views))
        asked, answering = (views, (0, 1)) if o.symmetric else (views.keys() - {1}, (1,))
        queries = {i: dist.gather(self.projector(self.encode(views[i]))) for i in asked}
        keys = {i: shuffled(self.target, views[i], batch.chance, f"keys {i}", o.key_groups) for i in answering}
        both = [(q, k) for i, q in queries.items() for j, k in keys.items() if i != j]
        attracted = [attraction(q, k, o.temperature, o.normalize) for q, k in both]
        repelled = [repulsion_from(q, k, *self.negatives(k), o.temperature, o.normalize) for q, k in both]
        self.queue.enqueue(torch.cat(list(keys.values())))  # after the loss
        terms = {"attraction": o.attraction * mean(attracted), "repulsion": o.repulsion * mean(repelled)}
        return Output(terms, tuple(queries.values()))

    def negatives(self, key: Tensor) -> tuple[Tensor, Same]:
        """The queue; without one the batch's keys, each left out against its own query."""
        own = torch.arange(len(key), device=key.device)
        return (self.queue.rows, None) if len(self.queue.rows) else (key, (own, own))

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch: int) -> float:
        return self.o.repulsion * math.log((len(self.queue.rows) or batch - 1) + 1)
