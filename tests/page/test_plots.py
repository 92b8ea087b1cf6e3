"""The page's figures."""

import json
import math

import plotly.graph_objects as go

from tests.page.results import DIAGNOSIS, EVALUATION
from twofold.page import plots


def test_few_labels_against_accuracy():
    probe, clusters = plots.labels_curves(EVALUATION)
    line = probe["data"][1]
    assert (line["name"], line["x"], line["y"]) == ("pretrained", [10, 100, 1000], [50, 62.5, 87.5])
    assert line["error_y"]["array"] == [1, 1, 1]
    assert clusters["data"][0]["y"] == [10, 20]


def test_every_figure_is_one_for_the_library(finished):
    """plotly's own check of every name and value; and JSON has no word for what is no number."""
    rows = finished.metrics
    for number, row in enumerate(rows):
        row["measures"] = {"std": math.nan if number == 2 else 1.0, "dead_dimensions": 0.5 * number}
    found = [
        *plots.curves(finished.metrics),
        *plots.measures(rows),
        *plots.labels_curves(EVALUATION),
        plots.spectrum(DIAGNOSIS["spectrum"]),
    ]
    assert len(found) == 5 + 2 + 2 + 1
    for figure in found:
        go.Figure(data=figure["data"], layout=figure["layout"])
        json.dumps(figure, allow_nan=False)


def test_curves_have_every_term_and_the_yardsticks(finished):
    loss, knn, *others = plots.curves(finished.metrics)
    assert [line["name"] for line in loss["data"]] == ["loss", "attraction", "repulsion"]
    assert loss["layout"]["shapes"][0]["y0"] == finished.metrics[0]["collapsed"]
    assert knn["layout"]["annotations"][0]["text"] == "untrained"
    assert [figure["title"] for figure in others] == ["Learning rate", "Norm of the gradient", "Images a second"]
    assert plots.curves([]) == []


def test_long_runs_are_thinned_and_end_where_they_end():
    rows = [{"step": step} for step in range(123_457)]
    steps = [row["step"] for row in plots.thinned(rows)]
    assert len(steps) <= plots.POINTS + 1
    assert (steps[0], steps[-1]) == (0, 123_456)
