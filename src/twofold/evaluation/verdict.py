"""What the scores of an evaluation come to, in words."""

import math
from typing import Any

from twofold.evaluation.titles import row_title

Json = dict[str, Any]
"""An object that a JSON file holds."""

VERDICTS = ("few_5", "linear", "knn")
"""Rows by which it is said what came out;"""
OTHERS = ("mlp", "finetune", "retrieval_map", "segmentation_miou", "patch_retrieval")
"""these where none of them was measured."""


def clearly(better: Json, worse: Json) -> bool:
    """Whether one score is above another by more than two standard deviations of their difference."""
    gain: float = better["value"] - worse["value"]
    return gain > 2 * math.hypot(better["spread"], worse["spread"])


def figures(score: Json) -> str:
    """A score and its spread in percent: ``97.8 ± 0.8``."""
    return f"{100 * score['value']:.1f} ± {100 * score['spread']:.1f}"


def verdict(scores: dict[str, Json], start: str = "") -> list[str]:
    """Sentences on a run: whether the pretrained features beat those that it began with, and the projector's these.

    It began with the starting weights as they are, where it had some, else untrained. Nothing is said where that or the
    pretrained features were not measured.

    Args:
        scores: by row and representation, as evaluation.json has them.
        start: the folder that keeps the backbone with its starting weights.
    """
    base = "start" if any("start" in own for own in scores.values()) else "untrained"
    rows = [row for row in VERDICTS if row in scores] or [row for row in OTHERS if row in scores]
    rows = [row for row in rows if {base, "pretrained"} <= scores[row].keys()]
    if not rows:
        return []
    better, worse = (
        [row for row in rows if clearly(scores[row][high], scores[row][low])]
        for high, low in (("pretrained", base), (base, "pretrained"))
    )
    than = "those of the weights as they are (start)" if base == "start" else "the untrained network's"
    alike = [row for row in rows if row not in better + worse]
    parts = {"clearly better": better, "clearly worse": worse, "not clearly better": alike}
    found = [(word, listed(scores, own, "pretrained", base)) for word, own in parts.items() if own]
    (word, by), *more = found
    said = ["; ".join([f"the pretrained features are {word} than {than} by {by}", *(f"{w} by {b}" for w, b in more)])]
    beaten = any(clearly(scores[row]["untrained"], scores[row][base]) for row in rows)
    if base == "start" and not better and not beaten:
        use = f": twofold embed {start} DATA --out FILE, twofold export {start} --out FILE" if start else ""
        said.append(f"the weights as they are (start) are the best here, so use them{use}")
    projected = [row for row in rows if "projector" in scores[row]]
    if above := [row for row in projected if clearly(scores[row]["projector"], scores[row]["pretrained"])]:
        said.append(
            "the features after the projector are clearly better than those before it by "
            f"{listed(scores, above, 'projector', 'pretrained')}"
        )
    return said


def listed(scores: dict[str, Json], rows: list[str], who: str, other: str) -> str:
    """``knn (97.8 ± 0.8 against 78.3 ± 2.2) and linear (...)``."""
    own = [f"{row_title(row)} ({figures(scores[row][who])} against {figures(scores[row][other])})" for row in rows]
    return " and ".join(filter(None, [", ".join(own[:-1]), own[-1]]))
