"""What a claim is, and how numbers decide it."""

import importlib
import inspect
import pkgutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from twofold.claims import experiments
from twofold.claims.stage import Stage
from twofold.errors import UsageError

Measured = dict[str, dict[str, float]]
"""What one seed gave: by measure and arm."""
Numbers = Mapping[str, Mapping[str, Sequence[float]]]
"""By measure and arm, a value for each seed, in one order of the seeds."""
Word = Literal["shown", "not shown", "contradicted"]

SURE = 2.0
"""A mean must be so many standard deviations over the seeds away from where it would say the opposite."""


@dataclass(frozen=True)
class Expected:
    """That a measure of the arm ``more`` is above that of the arm ``less``, seed by seed, by more than ``margin``.

    A number in place of an arm is that value. With a negative margin the arm may be lower, by no more than that.
    """

    measure: str
    more: str | float
    less: str | float
    margin: float = 0.0

    def differences(self, numbers: Numbers) -> list[float]:
        """More less less, for each seed."""
        arms = numbers[self.measure]
        count = len(next(iter(arms.values())))
        high, low = ([a] * count if isinstance(a, float | int) else arms[a] for a in (self.more, self.less))
        return [h - w for h, w in zip(high, low, strict=True)]

    def decide(self, numbers: Numbers) -> Word:
        """Shown: the difference is above the margin; contradicted: it has the other sign; both by `SURE` deviations."""
        found = self.differences(numbers)
        mean, spread = statistics.fmean(found), deviation(found)
        if mean - self.margin > SURE * spread:
            return "shown"
        return "contradicted" if mean - min(self.margin, 0.0) < -SURE * spread else "not shown"


def deviation(values: Sequence[float]) -> float:
    """The standard deviation over the seeds; 0 of a single one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Claim:
    """A claim, its experiment and what decides it.

    ``card``: the module's docstring: the sentence, an empty line, rows of a word (claim, setup, refuted, perhaps
    a note that explains what was found) and its text.
    ``run``: measures one seed. ``measures``: what each measure is, in words. ``expected``: what must hold; all of it
    for `shown`, while one contradiction is enough for `contradicted`. ``panels``: the measures that the figure shows,
    with ``x`` where the arms are numbers on an axis of that name. ``logarithmic``: whether that axis is.
    ``photographs``: whether it needs colour photographs, so that it has no data of its own.
    """

    number: int
    card: str
    run: Callable[[Stage], Measured]
    measures: Mapping[str, str]
    expected: Sequence[Expected]
    x: Mapping[str, str] = field(default_factory=dict)
    logarithmic: bool = False
    photographs: bool = False

    @property
    def title(self) -> str:
        return inspect.cleandoc(self.card).partition("\n")[0].rstrip(".")

    @property
    def parts(self) -> dict[str, str]:
        """The card's rows: claim, setup, refuted."""
        rows: dict[str, str] = {}
        key = ""
        for line in inspect.cleandoc(self.card).splitlines()[2:]:
            key = line[:10].strip() or key
            rows[key] = f"{rows.get(key, '')} {line[10:].strip()}".strip()
        return rows

    def verdict(self, numbers: Numbers) -> Word:
        """What the numbers say of the claim as a whole."""
        words = [each.decide(numbers) for each in self.expected]
        if "contradicted" in words:
            return "contradicted"
        return "shown" if set(words) == {"shown"} else "not shown"

    def reasons(self, numbers: Numbers) -> list[str]:
        """A sentence for each thing that must hold: what was found, and what that decides."""
        return [self.reason(each, numbers) for each in self.expected]

    def reason(self, each: Expected, numbers: Numbers) -> str:
        found = each.differences(numbers)
        what = self.measures[each.measure].partition(":")[0]
        gap = f"{statistics.fmean(found):+.3g} ± {deviation(found):.2g}"
        of = f"at {axis}" if (axis := self.x.get(each.measure)) else "of"
        if isinstance(each.less, float | int):
            compared = f"{what} {of} {each.more} less {each.less:g}"
        elif isinstance(each.more, float | int):
            compared = f"{each.more:g} less {what} {of} {each.less}"
        else:
            compared = f"{what} {of} {each.more} less that {of} {each.less}"
        return f"{compared} is {gap}, expected above {each.margin:g}: {each.decide(numbers)}"


def all_claims() -> dict[int, Claim]:
    """Every claim by its number."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    found: list[Any] = [importlib.import_module(f"{experiments.__name__}.{name}").CLAIM for name in names]
    return {claim.number: claim for claim in sorted(found, key=lambda claim: claim.number)}


def chosen(words: Sequence[str], photographs: bool = True) -> list[Claim]:
    """Claims by their numbers, in that order; ``all``: every one, without ``photographs`` those that need none.

    Raises:
        UsageError: for what is no claim's number.
    """
    every = all_claims()
    if list(words) == ["all"]:
        return [claim for claim in every.values() if photographs or not claim.photographs]
    strange = [word for word in words if not word.isdecimal() or int(word) not in every]
    if strange:
        raise UsageError(f"there is no claim {strange[0]}; there are {', '.join(map(str, every))}, or all")
    return [every[int(word)] for word in words]
