"""Figures for the page's plotting library, as plain values; the page gives them colours, light or dark."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from twofold.evaluation.titles import BEGINNINGS, measure_title, representation_title, row_title

POINTS = 1000
"""How many points a curve has: more cannot be told apart on a screen."""
NOTHING = 1e-9
"""The largest eigenvalue, as a share of their sum, that rounding alone can give."""
FEW_LABELS = re.compile(r"few_\d+|few_[\d.]+_percent|all_labels")
"""The rows of scores that a linear probe from some labels has."""
NAMED = re.compile(r"(clusters_\d+|prototypes)_labels_\d+").fullmatch

Number = int | float
Figure = dict[str, Any]
"""``title``, shown above, and plotly's own ``data`` and ``layout``."""


def figure(title: str, lines: Sequence[dict[str, Any]], x: str = "step", **layout: Any) -> Figure:
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {}}
    for axis in axes:
        axes[axis] |= layout.pop(axis, {})
    return {"title": title, "data": list(lines), "layout": {**axes, "showlegend": len(lines) > 1, **layout}}


def line(name: str, x: Iterable[Number], y: Iterable[Number], **more: Any) -> dict[str, Any]:
    """One curve; what is no number is a gap, as JSON has no word for it."""
    values = [value if math.isfinite(value) else None for value in y]
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": values, **more}


def yardstick(plot: Figure, value: Number | None, name: str) -> Figure:
    """The figure with one more dotted line, at a height to compare with."""
    if value is not None:
        shape = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
        note = {"text": name, "xref": "paper", "x": 1, "y": value, "xanchor": "right", "yanchor": "bottom"}
        layout = plot["layout"]
        layout["shapes"] = [*layout.get("shapes", []), shape]
        layout["annotations"] = [*layout.get("annotations", []), note | {"showarrow": False}]
    return plot


def thinned(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about `POINTS` rows, among them the last."""
    stride = -(-len(metrics) // POINTS)
    return metrics[:-1][::stride] + metrics[-1:] if metrics else []


def curves(metrics: list[dict[str, Any]]) -> list[Figure]:
    """Loss and its terms with the collapsed loss, kNN with that of the first backbone, rate, gradient, speed."""
    if not metrics:
        return []
    rows = thinned(metrics)
    steps = [row["step"] for row in rows]
    keys = list(metrics[0])
    terms = keys[keys.index("loss") : keys.index("lr")]
    names = ["loss"] if len(terms) == 2 else terms  # a single term is the loss
    lines = [line(name, steps, [row[name] for row in rows]) for name in names]
    found = [yardstick(figure("Loss", lines), metrics[0].get("collapsed"), "collapsed")]
    scored = [row for row in metrics if "knn" in row]
    if scored:
        points = line("kNN", [row["step"] for row in scored], [100 * row["knn"] for row in scored])
        points["mode"] = "lines+markers"
        plot = figure("kNN accuracy on training images, %", [points])
        for who in BEGINNINGS:
            score = metrics[0].get(f"knn_{who}")
            plot = yardstick(plot, None if score is None else 100 * score, who)
        found.append(plot)
    for key, title, axis in (
        ("lr", "Learning rate", {"rangemode": "tozero"}),
        ("gradient_norm", "Norm of the gradient", None),
        ("images_per_second", "Images a second", {"rangemode": "tozero"}),
    ):
        if key in metrics[0]:
            values = [row[key] for row in rows]
            found.append(figure(title, [line(title, steps, values)], yaxis=axis or logarithmic(values)))
    return found


def measures(metrics: list[dict[str, Any]]) -> list[Figure]:
    """One panel for each name that some rows have under ``measures``."""
    rows = thinned([row for row in metrics if "measures" in row])
    names = dict.fromkeys(name for row in rows for name in row["measures"])
    found = []
    for name in names:
        have = [row for row in rows if name in row["measures"]]
        title, values = measure_title(name), [row["measures"][name] for row in have]
        points = line(title, [row["step"] for row in have], values)
        points["mode"] = "lines+markers" if len(have) < 30 else "lines"
        found.append(figure(title, [points]))
    return found


def logarithmic(values: Iterable[Number]) -> dict[str, Any]:
    """An axis with ticks at 1, 2, 5, 10, ...; over more than two decades at the powers of ten alone."""
    positive = [value for value in values if 0 < value < math.inf] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    ticks = [
        digit * 10.0**power for power in range(low, high + 1) for digit in ((1, 2, 5) if high - low <= 3 else (1,))
    ]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:.12g}" for tick in ticks]}


def spectrum(spectra: dict[str, list[Number]]) -> Figure:
    """Eigenvalues by their rank, both in logarithms."""
    lines = []
    for name, values in spectra.items():
        seen = [value if value > NOTHING else math.nan for value in values]
        lines.append(line(name, range(1, len(seen) + 1), seen))
    ranks = logarithmic([1, max(map(len, spectra.values()))])
    powers = {"type": "log", "dtick": 1, "exponentformat": "power"}
    return figure("Share of the variance by principal component", lines, "component", xaxis=ranks, yaxis=powers)


def labels_curves(evaluation: dict[str, Any]) -> list[Figure]:
    """Accuracy against the number of labels, a line a representation: the probe's rows, and those of named clusters."""
    rows = {
        name: scores
        for name, scores in evaluation["scores"].items()
        if all(score["metric"] == "accuracy" and "labels" in score for score in scores.values())
    }
    probe = {name: scores for name, scores in rows.items() if FEW_LABELS.fullmatch(name)}
    drawn = {"Accuracy from few labels, %": probe}
    for grouping in dict.fromkeys(found[1] for found in map(NAMED, rows) if found):  # clusters_10, prototypes
        named = {name: scores for name, scores in rows.items() if name.startswith(f"{grouping}_labels_")}
        drawn[f"Accuracy of named groups, %: {row_title(grouping)}"] = named
    return [
        _by_labels(title, chosen, evaluation["representations"]) for title, chosen in drawn.items() if len(chosen) > 1
    ]


def _by_labels(title: str, rows: dict[str, dict[str, Any]], representations: list[str]) -> Figure:
    lines: list[dict[str, Any]] = []
    for name in representations:
        scores = sorted((row[name] for row in rows.values() if name in row), key=lambda score: score["labels"])
        if scores:
            bars = {"type": "data", "array": [100 * score["spread"] for score in scores]}
            labels, values = [score["labels"] for score in scores], [100 * score["value"] for score in scores]
            lines.append(line(representation_title(name), labels, values, mode="lines+markers", error_y=bars))
    return figure(title, lines, "labels", xaxis=logarithmic(x for line in lines for x in line["x"]))
