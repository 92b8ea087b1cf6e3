"""The figure of a claim: a panel a measure, a dot a seed, a line at the mean and at each limit that decides."""

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twofold.claims.base import Claim, Numbers

INK, SOFT, DOT = "#1b1e23", "#8a929c", "#1f66c1"
WIDTH, ROW, PANEL = 7.2, 0.27, 0.75
"""Inches: of the figure, of an arm's row, of what a panel needs beside its rows."""
CURVE = 2.4
"""Inches of a panel whose arms are numbers."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "twofold", "font.family": "sans-serif", "font.size": 9, "text.color": INK,
    "axes.edgecolor": SOFT, "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
}  # fmt: skip


def draw(claim: Claim, numbers: Numbers) -> str:
    """The figure as SVG; the same numbers give the same text."""
    heights = [CURVE if name in claim.x else PANEL + ROW * len(arms) for name, arms in numbers.items()]
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, sum(heights)), layout="constrained")
        panels = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, arms) in zip(panels, numbers.items(), strict=True):
            axes.set_title(claim.measures[name])
            limits = [limit for each in claim.expected if each.measure == name for limit in (each.more, each.less)]
            numeric = sorted({limit for limit in limits if isinstance(limit, float | int)})
            if name in claim.x:
                curve(axes, arms, claim.x[name], claim.logarithmic, numeric)
            else:
                rows(axes, arms, numeric)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=False, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def rows(axes: Axes, arms: Mapping[str, Sequence[float]], limits: Sequence[float]) -> None:
    """An arm a row, the first one on top."""
    for place, values in enumerate(arms.values()):
        axes.plot(values, [place] * len(values), "o", color=DOT, alpha=0.55, markersize=5, markeredgewidth=0)
        axes.plot([statistics.fmean(values)], [place], "|", color=INK, markersize=11, markeredgewidth=1.8)
    for limit in limits:
        axes.axvline(limit, color=SOFT, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(arms)), list(arms))
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="y", color=SOFT, alpha=0.25, linewidth=0.6)
    axes.margins(x=0.06)


def curve(
    axes: Axes, arms: Mapping[str, Sequence[float]], title: str, logarithmic: bool, limits: Sequence[float]
) -> None:
    """Arms that are numbers, from left to right."""
    places = [float(arm) for arm in arms]
    axes.plot(places, [statistics.fmean(values) for values in arms.values()], color=INK, linewidth=1.4)
    for place, values in zip(places, arms.values(), strict=True):
        axes.plot([place] * len(values), values, "o", color=DOT, alpha=0.55, markersize=5, markeredgewidth=0)
    for limit in limits:
        axes.axhline(limit, color=SOFT, linestyle=":", linewidth=1)
    axes.set_xlabel(title)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(places, list(arms))
        axes.minorticks_off()
