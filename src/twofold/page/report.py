"""`twofold report`: a run on one page, self-contained."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from twofold import checkpoint, methods
from twofold.data import open_data
from twofold.errors import UsageError
from twofold.evaluation.features import Encoder
from twofold.page import pictures
from twofold.run import Run
from twofold.tables import percent
from twofold.toml import dumps

PLOT = {"responsive": True, "displayModeBar": False}
POINTS = 1000  # of a curve; more cannot be told apart on a screen


def report(run: str | Path | Run) -> Path:
    """Write report.html into a run directory: curves, scores, views, neighbours, the recipe.

    Returns:
        The page's path.

    Raises:
        UsageError: if there is no such run.
    """
    run = Run.open(run)
    settings = run.recipe
    metrics = run.metrics
    views: list[list[str]] = []
    neighbours: list[list[str]] = []
    missing = ""
    try:
        source = open_data(settings.data).limited(settings.limit).train
        views = pictures.view_rows(source, settings)
        encoder = Encoder(run.backbone(), run.spec, torch.device("cpu"))
        neighbours = pictures.neighbour_rows(source, settings.size, encoder)
    except UsageError as error:  # the data have moved, or pretraining has not ended
        missing = str(error)
    environment = Environment(loader=PackageLoader("twofold", "page"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("page.html").render(
        name=run.path.name,
        title=methods.spec(settings.method).title,
        settings=settings,
        last=metrics[-1] if metrics else None,
        script=get_plotlyjs(),
        curves=[plot.to_html(full_html=False, include_plotlyjs=False, config=PLOT) for plot in curves(metrics)],
        evaluation=run.evaluation,
        percent=percent,
        views=views,
        neighbours=neighbours,
        missing=missing,
        recipe=dumps(settings),
    )
    path = run.path / "report.html"
    checkpoint.write_text(path, page)
    return path


def curves(metrics: list[dict[str, Any]]) -> list[go.Figure]:
    """Loss and its terms over steps with the collapsed loss, and kNN with the untrained backbone's."""
    if not metrics:
        return []
    thinned = metrics[:: max(1, len(metrics) // POINTS)]
    steps = [row["step"] for row in thinned]
    terms = list(metrics[0])
    terms = terms[terms.index("loss") : terms.index("lr")]
    names = ["loss"] if len(terms) == 2 else terms  # a single term is the loss
    loss = figure("loss", [(name, steps, [row[name] for row in thinned]) for name in names])
    add_yardstick(loss, metrics[0].get("collapsed"), "collapsed")
    scored = [(row["step"], 100 * row["knn"]) for row in metrics if "knn" in row]
    if not scored:
        return [loss]
    knn = figure(
        "kNN accuracy on training images, %", [("kNN", [step for step, _ in scored], [score for _, score in scored])]
    )
    untrained = metrics[0].get("knn_untrained")
    add_yardstick(knn, None if untrained is None else 100 * untrained, "untrained")
    return [loss, knn]


def figure(title: str, lines: list[tuple[str, Any, Any]]) -> go.Figure:
    plot = go.Figure([go.Scatter(x=x, y=y, name=name, mode="lines") for name, x, y in lines])
    grid = {"gridcolor": "rgba(128,128,128,.25)", "zeroline": False}
    plot.update_layout(
        title={"text": title, "font": {"size": 15}},
        xaxis={"title": "step", **grid},
        yaxis=grid,
        height=320,
        margin={"l": 50, "r": 15, "t": 45, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#888"},  # readable on light and on dark
        showlegend=len(lines) > 1,
        legend={"orientation": "h", "y": -0.25},
    )
    return plot


def add_yardstick(plot: go.Figure, value: float | None, name: str) -> None:
    if value is not None:
        plot.add_hline(value, line_dash="dot", line_color="#c33", annotation_text=name, annotation_font_color="#c33")
