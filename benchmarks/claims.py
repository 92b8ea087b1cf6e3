"""Keep what claims came to, and make the documentation of it.

    python benchmarks/claims.py runs/claims    # src/twofold/claims/stored/NUMBER.json of what is there
    python benchmarks/claims.py                # docs/claims/NUMBER.svg and docs/claims/index.html of what is kept

`collect.py` makes the tables and the text of docs/claims.md from the same files. No verdict is written by hand.
"""

import json
import sys
from pathlib import Path

from twofold.claims.base import Claim, all_claims
from twofold.claims.figure import draw
from twofold.claims.page import entry, write_page
from twofold.claims.results import STORED, Result, stored

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "claims"


def kept() -> list[tuple[Claim, Result]]:
    """Every claim that has a result, in order."""
    every = [(claim, stored(number)) for number, claim in all_claims().items()]
    return [(claim, result) for claim, result in every if result is not None]


def table(names: list[str]) -> str:
    """A row a claim, its verdict and what most nearly decides it; ``all`` or numbers."""
    lines = ["| | claim | verdict | seconds |", "|---:|---|---|---:|"]
    for claim, result in kept():
        if names == ["all"] or str(claim.number) in names:
            verdict = claim.verdict(result["numbers"])
            lines.append(f"| {claim.number} | {claim.title} | {verdict} | {result['seconds']} |")
    return "\n".join(lines)


def details(_: list[str]) -> str:
    """Each claim with its setup, its figure and the reasons of its verdict."""
    lines: list[str] = []
    for claim, result in kept():
        told = entry(claim, result)
        lines += [
            f"### {claim.number}. {claim.title}",
            "",
            f"**{told['verdict'].capitalize()}.** {told['parts']['claim']}",
            "",
        ]
        lines += [f"*Setup.* {told['parts']['setup']}", "", f"*Refuted* {told['parts']['refuted']}", ""]
        lines += [f"*Note.* {told['parts']['note']}", ""] if "note" in told["parts"] else []
        lines += [f"![Figure of claim {claim.number}](claims/{claim.number:02}.svg)", ""]
        lines += [*(f"- {reason}" for reason in told["reasons"]), "", f"{told['about']}.", ""]
    return "\n".join(lines).rstrip()


def figures() -> None:
    """Draw what is kept."""
    FIGURES.mkdir(exist_ok=True)
    for claim, result in kept():
        (FIGURES / f"{claim.number:02}.svg").write_text(draw(claim, result["numbers"]))
    write_page(FIGURES / "index.html", "Claims as experiments", kept())


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*/results.json")) if len(sys.argv) > 1 else []:
        result = json.loads(path.read_text())
        (STORED / f"{result['number']:02}.json").write_text(json.dumps(result, indent=1) + "\n")
    figures()
