"""Joint embedding from parts, arXiv 2105.04906 and the others: any energy, functionals and topology.

family    build your own
views     two, symmetric
topology  shared weights, stop-gradient or momentum encoder; projector, predictor and memory on demand
D         any of the library's energies
A, B      any weighed sum of variance, covariance, redundancy and repulsion
loss      energy_weight mean D(predicted x, y) over both directions + sum over functionals of weight A(x, y)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from twofold import dist
from twofold.batch import Batch
from twofold.methods import joint_parts as parts
from twofold.methods.base import Method, Output, Setup, directions, mean, pairs, unit
from twofold.nets.heads import mlp
from twofold.nets.memory import Queue
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.rules import Facts, momentum_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0), saturation=0.2, hue=0.1)
LARGE = dict(blur=(0.5, 0.5))


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.99 to 1; in a short run less"""
    return momentum_within(facts, 0.99, 1.0)


@dataclass(frozen=True, kw_only=True)
class Options:
    energy: Literal["squared", "cosine", "negative_cosine", "cross_entropy", "smooth_l1", "correlation"] = setting(
        "squared", "D: what pulls the two embeddings of an image together"
    )
    energy_weight: float = setting(25.0, "weight of the energy")
    functionals: str = setting(
        "variance:25,covariance:1", "A and B with their weights: variance, covariance, redundancy, repulsion"
    )
    target: Literal["shared", "stop_gradient", "momentum"] = setting("shared", "the y side")
    momentum: tuple[float, float] = setting(
        None, "of the momentum encoder, first and last, on a cosine", auto=published_momentum, low=0, high=1
    )
    predictor: bool = setting(False, "a predictor on the x side, as wide as the projector's end")
    predictor_hidden: int = setting(4096, "width of the predictor's hidden layer", low=1)
    memory: int = setting(
        0, "past embeddings of the y side that count as part of the batch for functionals", low=0, high="images"
    )
    temperature: float = setting(0.2, "divides the similarities of the repulsion and of the cross-entropy", low=1e-4)
    normalize: bool = setting(False, "scale embeddings to length 1 first")
    projector: tuple[int, ...] = setting((2048, 2048, 2048), "widths of the projector; none: no projector", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "of projector and predictor, after all layers but the last"
    )
    last_norm: bool = setting(False, "a norm after the projector's last layer too")


class Joint(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        o, self.o = options, options
        self.width = setup.width(o.projector)
        self.projector = mlp(setup.features, o.projector, o.projector_norm, o.last_norm)
        self.predictor = mlp(self.width, (o.predictor_hidden, self.width) if o.predictor else (), o.projector_norm)
        self.target = MomentumEncoder(o.momentum, backbone, self.projector) if o.target == "momentum" else None
        self.memory = Queue(setup.at_most_images(o.memory), self.width)
        self.energy = parts.energy(o.energy, o.temperature)
        self.functionals = parts.functionals(o.functionals, o.temperature)

    def forward(self, batch: Batch, progress: float) -> Output:
        o, embedded = self.o, [self.projector(self.encode(view)) for view in batch.views]
        predicted, past = [self.predictor(z) for z in embedded], self.memory.filled
        others = [self.target(view) for view in batch.views[:2]] if self.target else embedded[:2]
        both = [[dist.gather(unit(z) if o.normalize else z) for z in side] for side in (embedded, predicted, others)]
        xs, ps, ys = both[0], both[1], both[2] if o.target == "shared" else [y.detach() for y in both[2]]
        terms = {"energy": o.energy_weight * mean([self.energy(p, y) for p, y in directions(ps, ys)])}
        for name, (weight, functional) in self.functionals.items():
            terms[name] = weight * mean([functional(x, y, past) for x, y in pairs(xs)])
        self.memory.enqueue(torch.cat(ys))  # after the loss
        return Output(terms, tuple(xs))

    def after_step(self, progress: float) -> None:
        if self.target:
            self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        views = 2 * batch_size + len(self.memory.rows)
        functionals = sum(w * parts.collapsed(name, views, self.width) for name, (w, _) in self.functionals.items())
        return functionals + self.o.energy_weight * parts.collapsed(self.o.energy, views, self.width)
