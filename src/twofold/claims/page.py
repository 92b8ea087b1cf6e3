"""What is shown of claims that were carried out: a figure each, and one page that loads nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from twofold.claims.base import Claim
from twofold.claims.figure import draw
from twofold.claims.results import Result, folder_of, verdict_of
from twofold.page.render import render
from twofold.storage import files


def about(result: Result) -> str:
    """How a result came to be, in a sentence."""
    data, longer = result["data"], ", four times as long as usual" if result["full"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return (
        f"{data['name']}, {data['training']} images of {data['size']} pixels to learn from and {data['held out']} held "
        f"out; {result['seeds']} seeds, {result['seconds']} seconds of processor time{longer}; {versions}; "
        f"{result['date'][:10]}"
    )


Picture = Callable[[Claim, Result], str]
"""The figure of a claim's result, as HTML."""


def drawn(claim: Claim, result: Result) -> str:
    """The figure itself, for a page that loads nothing."""
    return draw(claim, result["numbers"])


def entry(claim: Claim, results: Sequence[Result], picture: Picture = drawn) -> dict[str, Any]:
    """What the page and the documentation say of a claim, which was measured on data of one kind or of several."""
    findings = [
        {
            "data": result["data"]["name"],
            "verdict": verdict_of(claim, result),
            "reasons": claim.reasons(result["numbers"]),
            "figure": Markup(picture(claim, result)),  # made here, not by whoever gave the data
            "about": about(result),
        }
        for result in results
    ]
    return {"number": claim.number, "title": claim.title, "parts": claim.parts, "findings": findings}


def write_page(
    path: Path, title: str, found: Sequence[tuple[Claim, Sequence[Result]]], picture: Picture = drawn
) -> None:
    """Write one page of several claims, each with its results."""
    files.write_text(path, render("claims.html", title=title, entries=[entry(*each, picture) for each in found]))


def write_claim(out: Path, claim: Claim, result: Result) -> Path:
    """Write figure.svg and index.html beside a claim's results.json; returns their folder."""
    folder = folder_of(out, claim.number)
    files.write_text(folder / "figure.svg", draw(claim, result["numbers"]))
    write_page(folder / "index.html", f"Claim {claim.number}", [(claim, [result])])
    return folder
