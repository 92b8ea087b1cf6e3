"""Keep what claims came to, and make the documentation of it.

    python benchmarks/claims.py runs/claims digits    # src/twofold/claims/stored/digits/NUMBER.json of what is there
    python benchmarks/claims.py                       # docs/claims/NUMBER-KIND.svg and docs/claims/index.html

`collect.py` makes the tables and the text of docs/claims.md from the same files. No verdict is written by hand.
"""

import json
import sys
from pathlib import Path

from twofold.claims.base import Claim, all_claims
from twofold.claims.figure import draw
from twofold.claims.page import entry, write_page
from twofold.claims.results import KINDS, STORED, Result, stored

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "claims"


def kept() -> list[tuple[Claim, dict[str, Result]]]:
    """Every claim that has a result, in order, and its results by kind."""
    every = [(claim, stored(number)) for number, claim in all_claims().items()]
    return [(claim, results) for claim, results in every if results]


def table(names: list[str]) -> str:
    """A row a claim, with its verdicts; ``all`` or numbers."""
    lines = ["| | claim | scanned digits | photographs |", "|---:|---|---|---|"]
    for claim, results in kept():
        if names == ["all"] or str(claim.number) in names:
            verdicts = [claim.verdict(results[kind]["numbers"]) if kind in results else "" for kind in KINDS]
            lines.append(f"| {claim.number} | {claim.title} | {' | '.join(verdicts)} |")
    return "\n".join(lines)


def details(_: list[str]) -> str:
    """Each claim with its setup, its figures and the reasons of its verdicts."""
    lines: list[str] = []
    for claim, results in kept():
        parts = claim.parts
        lines += [f"### {claim.number}. {claim.title}", "", parts["claim"], ""]
        lines += [f"*Setup.* {parts['setup']}", "", f"*Refuted* {parts['refuted']}", ""]
        lines += [f"*Note.* {parts['note']}", ""] if "note" in parts else []
        for kind, told in zip(results, entry(claim, list(results.values()))["findings"], strict=True):
            lines += [f"**On {kind}: {told['verdict']}.**", ""]
            lines += [f"![Figure of claim {claim.number}, {kind}](claims/{claim.number:02}-{kind}.svg)", ""]
            lines += [*(f"- {reason}" for reason in told["reasons"]), "", f"{told['about']}.", ""]
    return "\n".join(lines).rstrip()


def figures() -> None:
    """Draw what is kept."""
    FIGURES.mkdir(exist_ok=True)
    for claim, results in kept():
        for kind, result in results.items():
            (FIGURES / f"{claim.number:02}-{kind}.svg").write_text(draw(claim, result["numbers"]))
    found = [(claim, list(results.values())) for claim, results in kept()]
    write_page(FIGURES / "index.html", "Claims as experiments", found, beside)


def beside(claim: Claim, result: Result) -> str:
    """The figure as the file that lies beside the page."""
    kind = next(kind for kind in KINDS if stored(claim.number).get(kind) == result)
    return f'<img src="{claim.number:02}-{kind}.svg" alt="">'


if __name__ == "__main__":
    if len(sys.argv) > 1:
        folder = STORED / KINDS[KINDS.index(sys.argv[2])]
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(Path(sys.argv[1]).glob("*/results.json")):
            result = json.loads(path.read_text())
            (folder / f"{result['number']:02}.json").write_text(json.dumps(result, indent=1) + "\n")
    figures()
