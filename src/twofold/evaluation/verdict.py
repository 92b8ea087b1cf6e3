"""What the scores of an evaluation come to, in words."""

from typing import Any

from twofold.evaluation.score import Score
from twofold.evaluation.titles import balanced_row, row_title

Json = dict[str, Any]
"""An object that a JSON file holds."""

VERDICTS = ("few_5", "linear", "knn")
"""Rows by which it is said what came out, and by their balanced ones where these say something else;"""
OTHERS = ("mlp", "finetune", "retrieval_map", "segmentation_miou", "patch_retrieval")
"""these where none of them was measured."""


def figures(score: Json) -> str:
    """A score and its spread in percent: ``97.8 ± 0.8``."""
    return f"{100 * score['value']:.1f} ± {100 * score['spread']:.1f}"


def beginning(scores: dict[str, dict[str, Score]]) -> str:
    """What the pretrained features are held against: the starting weights as they are, where a run had some."""
    return "start" if any("start" in own for own in scores.values()) else "untrained"


def gains(scores: dict[str, dict[str, Score]]) -> dict[str, Json]:
    """By row, how far the pretrained features are above those that the run began with, as evaluation.json has it."""
    base = beginning(scores)
    both = {row: own for row, own in scores.items() if {base, "pretrained"} <= own.keys()}
    return {row: {"above": base, **own["pretrained"].less(own[base]).json()} for row, own in both.items()}


def verdict(scores: dict[str, dict[str, Score]], start: str = "") -> list[str]:
    """Sentences on a run: whether the pretrained features beat those that it began with, and the projector's these.

    It began with the starting weights as they are, where it had some, else untrained. Nothing is said where that or the
    pretrained features were not measured.

    Args:
        scores: by row and representation.
        start: the folder that keeps the backbone with its starting weights.
    """
    base = beginning(scores)
    rows = [row for row in VERDICTS if row in scores] or [row for row in OTHERS if row in scores]
    rows = [row for row in rows if {base, "pretrained"} <= scores[row].keys()]
    if not rows:
        return []
    directions: dict[str, int] = {}
    for row in rows:
        directions[row] = scores[row]["pretrained"].less(scores[row][base]).direction
        if own := scores.get(even := balanced_row(row)):
            direction = own["pretrained"].less(own[base]).direction
            directions |= {even: direction} if direction != directions[row] else {}
    rows = list(directions)
    better, worse, alike = ([row for row in rows if directions[row] == way] for way in (1, -1, 0))
    than = "those of the weights as they are (start)" if base == "start" else "the untrained network's"
    parts = {"clearly better": better, "clearly worse": worse, "not clearly better": alike}
    found = [(word, listed(scores, own, "pretrained", base)) for word, own in parts.items() if own]
    (word, by), *more = found
    said = ["; ".join([f"the pretrained features are {word} than {than} by {by}", *(f"{w} by {b}" for w, b in more)])]
    beaten = any(scores[row]["untrained"].less(scores[row][base]).direction > 0 for row in rows)
    if base == "start" and not better and not beaten:
        use = f": twofold embed {start} DATA --out FILE, twofold export {start} --out FILE" if start else ""
        word = "are the better ones here, so use them" if worse else "do as well, as far as these images tell"
        said.append(f"the weights as they are (start) {word}{use}")
    projected = [row for row in rows if "projector" in scores[row]]
    if above := [row for row in projected if scores[row]["projector"].less(scores[row]["pretrained"]).direction > 0]:
        said.append(
            "the features after the projector are clearly better than those before it by "
            f"{listed(scores, above, 'projector', 'pretrained')}"
        )
    return said


def listed(scores: dict[str, dict[str, Score]], rows: list[str], who: str, other: str) -> str:
    """``knn (97.8 against 78.3: 19.5 ± 2.1 more) and linear (...)``."""
    own = []
    for row in rows:
        high, low = scores[row][who], scores[row][other]
        gain = high.less(low)
        more = f"{100 * abs(gain.value):.1f} ± {100 * gain.spread:.1f} {'less' if gain.value < 0 else 'more'}"
        own.append(f"{row_title(row)} ({100 * high.value:.1f} against {100 * low.value:.1f}: {more})")
    return " and ".join(filter(None, [", ".join(own[:-1]), own[-1]]))
