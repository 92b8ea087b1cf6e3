"""The page of `twofold compare`: the same figures for each method, side by side."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold.evaluation.titles import BEGINNINGS, RAW_PIXELS
from twofold.page import plots
from twofold.page.render import render
from twofold.storage import files


def write_page(folder: Path, result: dict[str, Any]) -> Path:
    """Write compare.html of what compare.json holds."""
    methods = result["methods"]
    rows = list(dict.fromkeys(row for own in methods.values() for row in own["scores"]["pretrained"]))
    page = render(
        "compare.html",
        name=folder.name,
        result=result,
        rows=rows,
        evaluation=as_evaluation(result, rows),
        few=plots.labels_curves(as_evaluation(result, rows)),
        mean=mean,
        free=list(result["ranking"]),
    )
    path = folder / "compare.html"
    files.write_text(path, page.encode(errors="replace").decode())
    return path


def as_evaluation(result: dict[str, Any], rows: list[str]) -> dict[str, Any]:
    """The methods as the columns of one evaluation, beside raw pixels and how the first backbones began."""
    columns: dict[str, dict[str, Any]] = {}
    if result[RAW_PIXELS]:
        columns[RAW_PIXELS] = result[RAW_PIXELS]
    for who in BEGINNINGS:
        if had := [own["scores"][who] for own in result["methods"].values() if own["scores"][who]]:
            columns[who] = had[0]
    columns |= {name: own["scores"]["pretrained"] for name, own in result["methods"].items()}
    scores = {row: {name: own[row] for name, own in columns.items() if row in own} for row in rows}
    return {"representations": list(columns), "scores": scores}


def mean(values: Sequence[int | float | None]) -> float | None:
    """Of the runs that have it."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
