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


def overview(found: "Sequence[tuple[Claim, Result | None]]") -> str:
    """A row a claim: its number, its sentence, the verdict of the result that there is."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("", "claim", "verdict", "data", "seeds"):
        table.add_column(title, justify="right" if title in ("", "seeds") else "left")
    for claim, result in found:
        told = ["no result is kept", "", ""]
        if result is not None:
            told = [claim.verdict(result["numbers"]), result["data"]["name"], str(result["seeds"])]
        table.add_row(str(claim.number), claim.title, *told)
    return "\n".join([render(table), "twofold claims N carries one out; N is its number, or all"])


def outcome(claim: "Claim", result: "Result") -> str:
    """The claim, its numbers as tables with mean and deviation over the seeds, the verdict and what it rests on."""
    numbers, lines = result["numbers"], [f"Claim {claim.number}: {claim.title}."]
    for name, arms in numbers.items():
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in (claim.x.get(name, ""), "mean", "±", "by seed"):
            table.add_column(title, justify="left" if title in ("", "by seed") else "right")
        for arm, values in arms.items():
            spread = f"{statistics.stdev(values):.2g}" if len(values) > 1 else ""
            table.add_row(arm, f"{statistics.fmean(values):.3g}", spread, "  ".join(f"{v:.3g}" for v in values))
        lines += ["", claim.measures[name], render(table).strip("\n")]
    cost = f"{result['seeds']} seeds, {result['seconds']} s of processor time"
    lines += ["", f"Verdict: {claim.verdict(numbers)}, by {cost}."]
    return "\n".join([*lines, *(f"  {reason}" for reason in claim.reasons(numbers))])
