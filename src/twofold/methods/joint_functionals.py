"""Functionals A and B of `joint` by their names: what they cost, of which side, with which weight."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from twofold import losses
from twofold.batch import Chance
from twofold.errors import UsageError, did_you_mean
from twofold.losses.decorrelation import barlow_twins_terms
from twofold.losses.gaussianity import POINT
from twofold.methods.base import directions, mean
from twofold.nets.memory import Queue

if TYPE_CHECKING:
    from twofold.methods.joint import Options

Rows = list[Tensor]
"""Embeddings [n, d], or scores [n, k], of each view."""
LINES = 256
"""Directions that sigreg looks along in a step."""


class Pair(NamedTuple):
    """One view's embeddings [n, d] beside another's of the same images, and past ones [k, d] of other images.

    ``stand_ins``: the same with the random rows that a memory begins with, as long as the memory.
    """

    own: Tensor
    other: Tensor
    past: Tensor
    stand_ins: Tensor


def repulsion(pair: Pair, o: "Options") -> Tensor:
    """Against all other embeddings of both views and of the memory: SimCLR's."""
    own, other, past, _ = pair
    number = torch.arange(len(own), device=own.device)
    numbers = torch.cat([number, number, torch.full((len(past),), -1, device=own.device)])
    rest = torch.cat([own, other, past.to(own.dtype)])
    return losses.repulsion_from(own, other, rest, (number, numbers), o.temperature, o.normalize)


def contrast(pair: Pair, o: "Options") -> Tensor:
    """Against the other view's: with a memory the image's own one and the memory (MoCo's), else all (MoCo v3's)."""
    own, other, _, memory = pair
    if len(memory):
        return losses.repulsion_from(own, other, memory, None, o.temperature, o.normalize)
    number = torch.arange(len(own), device=own.device)
    return losses.repulsion_from(own, other, other, (number, number), o.temperature, o.normalize)


def margin(pair: Pair, o: "Options") -> Tensor:
    """Against the other view's of other images, and the memory."""
    return losses.margin_hinge(pair.own, pair.other, o.margin, pair.past)


OF_PAIRS: dict[str, Callable[[Pair, Any], Tensor]] = {
    "redundancy": lambda pair, _: barlow_twins_terms(pair.own, pair.other)["redundancy"],
    "repulsion": repulsion,
    "contrast": contrast,
    "margin": margin,
}
OF_ONE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "variance": lambda rows, _: losses.variance(rows),
    "covariance": lambda rows, _: losses.covariance(rows),
    "uniformity": lambda rows, _: losses.uniformity(rows),
    "koleo": lambda rows, _: losses.koleo(rows),
    "coding_rate": lambda rows, _: losses.coding_rate(rows),
    "sigreg": losses.sigreg,
    "norm": lambda rows, _: losses.norm_hinge(rows),
}
"""Of a view's embeddings with those of the memory, and of random directions."""
NAMES = (*OF_ONE, *OF_PAIRS)
SIDES = ("online", "predicted", "target")


class Functionals:
    """The weighed functionals A of the first view and B of the others, each a mean over views or pairs of views."""

    def __init__(self, o: "Options", width: int) -> None:
        """``width``: of the embeddings."""
        of_x, of_y = parse(o.functionals), parse(o.functionals_y)
        self.o, self.width = o, width
        self.weights = {part: (of_x.get(part, 0.0), of_y.get(part, 0.0)) for part in of_x | of_y}
        self.lines = LINES if "sigreg" in [name for name, _ in self.weights] else 0

    def __call__(self, xs: Rows, ps: Rows, ys: Rows, memory: Queue, chance: Chance) -> dict[str, Tensor]:
        """The weighed terms by name, of each view's embeddings: online, predicted, and on the y side."""
        found = {}
        past, lines = memory.filled, chance.shared_normal("lines", self.lines, self.width)
        for (name, side), weights in self.weights.items():
            owns, others = {"online": (xs, xs), "predicted": (ps, ps), "target": (ps, ys)}[side]
            if name in OF_ONE:
                costs = [(i, OF_ONE[name](torch.cat([z, past.to(z.dtype)]), lines)) for i, z in enumerate(owns)]
            else:
                both = directions(range(len(owns)), range(len(others[:2])))
                costs = [(i, OF_PAIRS[name](Pair(owns[i], others[j], past, memory.rows), self.o)) for i, j in both]
            found[labelled(name, side)] = mean([weights[i > 0] * cost for i, cost in costs])
        return found

    def collapsed(self, batch: int, memory: int) -> float:
        """Of two views' embeddings that are all alike."""
        return sum(sum(pair) / 2 * self.cost(name, batch, memory) for (name, _), pair in self.weights.items())

    def cost(self, name: str, batch: int, memory: int) -> float:
        """What one functional costs then; sigreg where all are 0."""
        return {
            "variance": 0.99,
            "repulsion": math.log(2 * batch - 1 + memory),
            "contrast": math.log(memory + 1 if memory else batch),
            "margin": self.o.margin**2 / 2,
            "koleo": -math.log(1e-8),
            "coding_rate": -math.log(1 + self.width / 0.2) / 2,
            "sigreg": POINT,
        }.get(name, 0.0)


def labelled(name: str, side: str) -> str:
    """A functional's name, and its side if that is not the online one."""
    return name if side == "online" else f"{name}@{side}"


def parse(text: str) -> dict[tuple[str, str], float]:
    """``variance:25,koleo@predicted:0.1`` as weights by name and side; online and 1 where nothing is said.

    Raises:
        UsageError: for a functional or a side that does not exist, or a weight that is no number.
    """
    weights: dict[tuple[str, str], float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, _, number = part.partition(":")
        name, _, side = label.partition("@")
        side = side or "online"
        if name not in NAMES:
            raise UsageError(f"there is no functional {name!r}{did_you_mean(name, NAMES)}; {', '.join(NAMES)}")
        if side not in SIDES:
            raise UsageError(f"{name} has no side {side!r}{did_you_mean(side, SIDES)}; {', '.join(SIDES)}")
        if side == "target" and name in OF_ONE:
            raise UsageError(f"{name} looks at one side alone, and the target learns nothing: {name}@online")
        if (name, side) in weights:
            raise UsageError(f"the functional {label} is named twice")
        try:
            weight = float(number or 1)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UsageError(f"the weight of {label} must be a number, not {number!r}")
        weights[name, side] = weight
    return weights
