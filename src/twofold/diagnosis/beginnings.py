"""Whether a backbone's features have become worse than those that its run began with.

They are compared with the starting weights', if there were any, else with the untrained backbone's: by kNN where images
have labels (`by_scores`, while a run goes on and afterwards), by what `evaluate` measured with labelled images
(`by_evaluation`), or, where no labels are known, by a measure without (`by_measures`, for methods that bring the views
of an image together).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile

from twofold.diagnosis.causes import FORGETTING, WORSE
from twofold.evaluation.verdict import Json
from twofold.storage.metrics import Row

LASTING = 3
"""How many kNN scores in a row must be lower, unless the last one is that of the last step."""
DEVIATIONS = 2.0
"""By how many standard deviations of their difference one of two accuracies must be lower."""

FARTHER = 1.05
"""How many times as far apart as before an image's views must be, beside different images."""

JUDGES = {"knn": "kNN", "linear": "the linear head"}
"""Rows of an evaluation that say whether features are worse, in words."""

Loss = tuple[str, int | None, str]
"""What is found: its name, since which step, and what was seen."""


def by_scores(rows: Sequence[Row]) -> Loss | None:
    """What kNN scores say: rows of metrics.jsonl, the first step's among them."""
    scored = [row for row in rows if "knn" in row]
    if not scored or "knn_asked" not in rows[0]:
        return None
    who, name = ("start", FORGETTING) if "knn_start" in rows[0] else ("untrained", WORSE)
    before, asked, steps = rows[0][f"knn_{who}"], rows[0]["knn_asked"], rows[0]["steps"]

    def lower(row: Row) -> bool:
        variance = (before * (1 - before) + row["knn"] * (1 - row["knn"])) / asked
        return bool(before - row["knn"] > DEVIATIONS * math.sqrt(variance))

    lost = list(takewhile(lower, reversed(scored)))
    if not lost or (len(lost) < LASTING and lost[0]["step"] + 1 < steps):
        return None
    return name, lost[-1]["step"], f"kNN is {lost[0]['knn']:.1%}, {before:.1%} {described(who)}"


def by_evaluation(evaluation: Json) -> Loss | None:
    """What evaluation.json says, by the scores of the same test images before and after."""
    gains = {row: gain for row, gain in evaluation["gains"].items() if row in JUDGES}
    lost = {row: gain["above"] for row, gain in gains.items() if gain["value"] < -DEVIATIONS * gain["spread"]}
    if not lost:
        return None
    who = next(iter(lost.values()))
    seen = [
        f"{JUDGES[row]} is {evaluation['scores'][row]['pretrained']['value']:.1%}, "
        f"{evaluation['scores'][row][who]['value']:.1%}"
        for row in lost
    ]
    return FORGETTING if who == "start" else WORSE, None, f"{', and '.join(seen)} {described(who)}"


def by_measures(measures: Mapping[str, Mapping[str, float]]) -> Loss | None:
    """What the `measures` of a run's ``features`` say beside those of ``untrained`` and ``start``, without labels."""
    who, name = ("start", FORGETTING) if "start" in measures else ("untrained", WORSE)
    now, before = (nearness(measures.get(key, {})) for key in ("features", who))
    if math.isnan(now) or math.isnan(before) or now <= FARTHER * before:
        return None
    seen = "two views of an image are {:.2f} times as far apart as two images are, {:.2f} times in features {}"
    return name, None, seen.format(now, before, described(who))


def nearness(measures: Mapping[str, float]) -> float:
    """The mean squared distance of two distorted views of an image over that of two images, both at length 1.

    0: views coincide; 1: an image cannot be told by its view. It is what joint embedding lowers, in features that vary
    much or little alike. NaN where it cannot be told.
    """
    apart = 2 - 2 * measures.get("cosine", math.nan)
    return measures.get("alignment", math.nan) / apart if apart > 0 else math.nan


def described(who: str) -> str:
    """A beginning, in words that follow a number."""
    return "of the weights that the run started from" if who == "start" else "of the untrained backbone"
