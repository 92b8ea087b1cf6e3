"""Claims and what they came to, as text for a terminal."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from twofold.cli.tables import render

if TYPE_CHECKING:
    from twofold.claims.base import Claim
    from twofold.claims.results import Result


def overview(found: "Sequence[tuple[Claim, dict[str, Result]]]") -> str:
    """A row a claim: its number, its sentence, and the verdict of each result that there is, by where it is from."""
    from twofold.claims.results import HERE, KINDS, verdict_of

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    places = [place for place in (HERE, *KINDS) if any(place in results for _, results in found)]
    for title in ("", "claim", *places):
        table.add_column(title, justify="left" if title else "right")
    for claim, results in found:
        verdicts = {place: verdict_of(claim, result) for place, result in results.items()}
        table.add_row(str(claim.number), claim.title, *(verdicts.get(place, "") for place in places))
    return "\n".join([render(table), "twofold claims N carries one out; N is its number, or all"])


def outcome(claim: "Claim", result: "Result") -> str:
    """The claim, its numbers as tables with mean and deviation over the seeds, the verdict and what it rests on."""
    from twofold.claims.results import TRIED, verdict_of

    numbers, lines = result["numbers"], [f"Claim {claim.number}: {claim.title}."]
    for name, arms in numbers.items():
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in (claim.x.get(name, ""), "mean", "±", "by seed"):
            table.add_column(title, justify="left" if title in ("", "by seed") else "right")
        for arm, values in arms.items():
            spread = f"{statistics.stdev(values):.2g}" if len(values) > 1 else ""
            table.add_row(arm, f"{statistics.fmean(values):.3g}", spread, "  ".join(f"{v:.3g}" for v in values))
        lines += ["", claim.measures[name], render(table).strip("\n")]
    seeds, verdict = result["seeds"], verdict_of(claim, result)
    cost = f"{seeds} seed{'s' if seeds > 1 else ''}, {result['seconds']} s of processor time"
    if verdict == TRIED:
        return "\n".join([*lines, "", f"No verdict: it was only tried out ({cost}); leave --steps and --seeds out."])
    lines += ["", f"Verdict: {verdict}, by {cost}."]
    return "\n".join([*lines, *(f"  {reason}" for reason in claim.reasons(numbers))])
