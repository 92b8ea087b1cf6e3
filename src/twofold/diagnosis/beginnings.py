"""Whether a backbone's features have become worse than those that its run began with.

They are compared with the starting weights', if there were any, else with the untrained backbone's: by kNN where images
have labels (`by_scores`, while a run goes on and afterwards), by a measure without labels where they have none
(`by_measures`).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile

from twofold.diagnosis.causes import FORGETTING, WORSE
from twofold.metrics import Row

LASTING = 3
"""How many kNN scores in a row must be lower, unless the last one is that of the last step."""
DEVIATIONS = 2.0
"""By how many standard deviations of the difference of two accuracies a score must be lower."""

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


def by_measures(measures: Mapping[str, Mapping[str, float]]) -> Loss | None:
    """What the `measures` of a run's ``features`` say beside those of ``untrained`` and ``start``, without labels."""
    who, name = ("start", FORGETTING) if "start" in measures else ("untrained", WORSE)
    now, before = (measures.get(key, {}).get("lidar") for key in ("features", who))
    if now is None or before is None or now >= before:
        return None
    return name, None, f"the LiDAR of the features is {now:.1f}, {before:.1f} {described(who)}"


def described(who: str) -> str:
    """A beginning, in words that follow a number."""
    return "of the weights that the run started from" if who == "start" else "of the untrained backbone"
