"""The parts of `joint` by their names: the two sides, energies D(x, y), and what the y side's scores become."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import losses
from twofold.batch import Batch, View
from twofold.dist import gather
from twofold.errors import UsageError
from twofold.losses.decorrelation import barlow_twins_terms
from twofold.losses.precision import exact
from twofold.methods.base import together, unit
from twofold.methods.joint_functionals import Rows, parse
from twofold.nets.heads import mlp, relu
from twofold.nets.momentum import MomentumEncoder, shuffled
from twofold.recipe.rules import Facts, momentum_within

if TYPE_CHECKING:
    from twofold.methods.joint import Options

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": relu, "gelu": nn.GELU}
CENTRE = 0.9
"""What stays of the centre of the y side's scores in a step; the rest is this step's mean (DINO, arXiv 2104.14294)."""


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.99 to 1; lower in a short run"""
    return momentum_within(facts, 0.99, 1.0)


def as_functionals(facts: Facts) -> str:
    """the same as functionals"""
    return str(facts.settings["functionals"])


def as_temperature(facts: Facts) -> float:
    """the same as temperature"""
    return float(facts.settings["temperature"])


def projector(features: int, o: "Options") -> nn.Module:
    """From so many features to embeddings."""
    return mlp(features, o.projector, o.projector_norm, o.last_norm, ACTIVATIONS[o.activation])


def embedded(views: Sequence[View], encode: Callable[[View], Tensor], projector: nn.Module, at_once: bool) -> Rows:
    """Each view's embeddings, of this process; ``at_once``: views of one size are one batch for batch norms."""

    def network(view: View) -> Tensor:
        rows: Tensor = projector(encode(view))
        return rows

    return together(network, views) if at_once else [network(view) for view in views]


def gathered(rows: Rows, normalize: bool) -> Rows:
    """Those of all processes, of length 1 if that is asked for."""
    return [gather(unit(z) if normalize else z) for z in rows]


@torch.no_grad()
def y_side(encoder: MomentumEncoder | None, batch: Batch, xs: Rows, o: "Options") -> Rows:
    """The full-size views' embeddings on the y side, of all processes: the same, cut off, or the momentum encoder's."""
    views = batch.views[:2]
    if encoder is None:
        return xs[:2] if o.target == "shared" else [x.detach() for x in xs[:2]]
    projector = encoder.stages[1]
    if o.key_groups == 1:
        return gathered(embedded(views, encoder.encode, projector, o.views_together), o.normalize)

    def network(view: View) -> Tensor:
        return embedded([view], encoder.encode, projector, False)[0]

    rows = [shuffled(network, view, batch.chance, f"keys {i}", o.key_groups) for i, view in enumerate(views)]
    return [unit(z) if o.normalize else z for z in rows]


def scored(rows: Rows, prototypes: nn.Module | None, frozen: bool = False) -> Rows:
    """Cosines to the prototypes [n, k]; without any, embeddings are the scores."""
    return [prototypes(z, frozen) for z in rows] if prototypes else rows


ENERGIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": losses.squared,
    "cosine": losses.cosine,
    "negative_cosine": losses.negative_cosine,
    "smooth_l1": losses.smooth_l1,
    "correlation": lambda x, y: barlow_twins_terms(x, y)["invariance"],
}


class Energy:
    """The weighed D of an x side's embeddings, or scores, and what the y side answers."""

    def __init__(self, o: "Options", width: int) -> None:
        """``width``: of what is compared."""
        self.name, self.weight, self.temperature, self.width = o.energy, o.energy_weight, o.temperature, width

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if self.name == "cross_entropy":
            return self.weight * cross_entropy(x, y, self.temperature)
        return self.weight * ENERGIES[self.name](x, y)

    def collapsed(self) -> float:
        """Of embeddings that are all alike, and of scores that are flat."""
        width = self.width
        costs = {"negative_cosine": -1.0, "cross_entropy": math.log(width), "correlation": float(width)}
        return self.weight * costs.get(self.name, 0.0)


@exact
def cross_entropy(scores: Tensor, code: Tensor, temperature: float) -> Tensor:
    """Mean of -sum code log softmax(scores / temperature)."""
    return F.cross_entropy(scores / temperature, code)


class Codes(nn.Module):
    """What cross-entropy makes of the y side's scores: classes' probabilities. Other energies take them as they are.

    ``softmax(y / t)``; ``sinkhorn``, of equal-sized clusters, with epsilon t; or ``centred``, softmax((y - c) / t), c
    a moving average of the mean score. The latter two let no gradient through.
    """

    centre: Tensor

    def __init__(self, o: "Options", width: int) -> None:
        super().__init__()
        self.kind = o.codes if o.energy == "cross_entropy" else "none"
        self.temperature = o.target_temperature
        self.register_buffer("centre", torch.zeros(1, width if self.kind == "centred" else 0))

    def forward(self, answers: Rows) -> Rows:
        """Codes of each view's scores [n, k]; the last of ``answers`` are scores [m, k] of the memory."""
        *scores, past = answers
        if self.kind == "none":
            return scores
        if self.kind == "softmax":
            return [softmax(y, self.temperature) for y in scores]
        if self.kind == "sinkhorn":
            every = [torch.cat([y, past.to(y.dtype)]) for y in scores]
            return [losses.sinkhorn(rows, self.temperature)[: len(y)] for rows, y in zip(every, scores, strict=True)]
        codes = [losses.centred_softmax(y, self.centre, self.temperature) for y in scores]
        if self.training:
            self.centre = CENTRE * self.centre + (1 - CENTRE) * torch.cat(scores).detach().mean(0, keepdim=True)
        return codes


@exact
def softmax(scores: Tensor, temperature: float) -> Tensor:
    return (scores / temperature).softmax(1)


def checked(o: "Options") -> "Options":
    """The same.

    Raises:
        UsageError: for parts that do not go together, or a setting that no part would look at.
    """
    named = {*parse(o.functionals), *parse(o.functionals_y)}
    unpredicted = [name for name, side in named if side == "predicted" and not o.predictor]
    scores, remembering = o.energy == "cross_entropy", {name for name, _ in named} - {"redundancy"}
    sees_memory = remembering or (scores and o.codes == "sinkhorn")
    wrong = [
        (o.codes != "softmax" and not scores, f"codes {o.codes} are for energy cross_entropy, not {o.energy}"),
        (o.prototypes and not scores, f"prototypes are for energy cross_entropy, not {o.energy}"),
        (o.freeze_prototypes and not o.prototypes, "there are no prototypes to freeze: set --prototypes"),
        (unpredicted, f"there is no predictor for {', '.join(unpredicted)}@predicted: set --predictor"),
        (o.key_groups > 1 and o.target != "momentum", "key_groups are for a momentum encoder: set --target momentum"),
        (o.key_groups > 1 and o.views_together, "views_together and key_groups exclude each other"),
        (o.memory and not sees_memory, "no functional and no code looks at the memory: set --memory 0"),
    ]
    for true, words in wrong:
        if true:
            raise UsageError(words)
    return o
