"""What the runs of a comparison come to: means and spreads, labels needed, and an order without labels."""

import json
import math
import re
import statistics
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from scipy.stats import kendalltau

from twofold.data.opening import Data
from twofold.evaluation.score import Score, error_of_mean
from twofold.evaluation.titles import BEGINNINGS, RAW_PIXELS, balanced_row, row_title
from twofold.evaluation.verdict import VERDICTS, Json, figures
from twofold.recipe.version import VERSION

SCORE = "linear"
AGREEING = 4
"""runs whose order must be known before its agreement with another one means anything"""
FEW = re.compile(r"few_\d+|few_[\d.]+_percent")  # names of rows
COSTS = ("seconds", "images_per_second", "peak_memory_mb")

LABEL_FREE: dict[str, Callable[[float], float]] = {
    "rank": lambda value: value,
    "lidar": lambda value: value,
    "alpha": lambda value: -abs(value - 1),
}
"""Measures that rank runs without labels, as what is the more the better: the best alpha is 1."""


def collected(folder: Path, budget: dict[str, Json], seeds: int, data: Data) -> Json:
    """Everything that the runs wrote, by method, and how well measures without labels rank them."""
    found: dict[str, Json] = {}
    pixels: dict[str, Json] = {}
    for name, share in budget.items():
        runs = [f"{name}-{seed}" for seed in range(seeds)]
        results = [json.loads((folder / run / "result.json").read_text(encoding="utf-8")) for run in runs]
        evaluations = [result["evaluation"] for result in results if result["evaluation"]]
        pixels = pixels or over_runs(evaluations[:1], RAW_PIXELS)  # the same for every seed
        found[name] = {
            **share,
            "runs": runs,
            "knn": [result.get("knn", []) for result in results],
            "scores": {who: over_runs(evaluations, who) for who in ("pretrained", *BEGINNINGS)},
            "gains": gains_of([result.get("gains", {}) for result in results if result["evaluation"]]),
            SCORE: {
                run: result["evaluation"][SCORE]["pretrained"]["value"]
                for run, result in zip(runs, results, strict=True)
                if SCORE in result["evaluation"]
            },
            "labels_needed": [labels_needed(evaluation) for evaluation in evaluations],
            "measures": [result["diagnosis"]["measures"].get("features", {}) for result in results],
            "findings": [[finding["name"] for finding in result["diagnosis"]["findings"]] for result in results],
            **{key: [result[key] for result in results] for key in (*COSTS, "ended")},
        }
    return {
        "data": {"name": data.name, "fingerprint": data.train.fingerprint()},
        "seeds": seeds,
        "methods": found,
        RAW_PIXELS: pixels,
        "ranking": ranking(found),
        "verdict": verdict(found),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"twofold": VERSION} | {name: version(name) for name in ("torch", "timm", "scikit-learn")},
    }


def best_way(found: dict[str, Json]) -> str | None:
    """The name of the way with the best score in the first of `VERDICTS` that was measured; None if none was."""
    row = next((row for row in VERDICTS if any(row in own["scores"]["pretrained"] for own in found.values())), None)
    if row is None:
        return None
    return highest(
        {n: own["scores"]["pretrained"][row] for n, own in found.items() if row in own["scores"]["pretrained"]}
    )


def highest(scores: Mapping[str, Json]) -> str:
    """The name of the highest score."""
    return max(scores, key=lambda name: scores[name]["value"])


def with_half(result: Json, folder: Path, best: str, images: int) -> Json:
    """What a comparison adds of its best way's runs with half of the images: their scores, in words too."""
    own = result["methods"][best]
    runs = [f"{best}-half-{seed}" for seed in range(result["seeds"])]
    results = [json.loads((folder / run / "result.json").read_text(encoding="utf-8")) for run in runs]
    scores = over_runs([one["evaluation"] for one in results if one["evaluation"]], "pretrained")
    row = next((row for row in VERDICTS if row in own["scores"]["pretrained"] and row in scores), None)
    said = list(result["verdict"])
    if row:
        whole = own["scores"]["pretrained"][row]
        more = less(whole, scores[row]).direction > 0
        word = "are likely to give more" if more else "would hardly change this"
        said.append(
            f"{row_title(row)}: with half of the images, {images}, in as many steps {best} has {figures(scores[row])} "
            f"instead of {figures(whole)}: more images {word}"
        )
    return {"half": {"way": best, "images": images, "runs": runs, "scores": scores}, "verdict": said}


def verdict(found: dict[str, Json]) -> list[str]:
    """What came out, in words: the best way by labels, whether it is clearly above or below the beginning, what rose.

    The beginning is the best of the starting weights as they are, where any way has them, else of the untrained
    backbones.
    """
    said = []
    for row in VERDICTS:
        plain, even = (_verdict_by(name, found) for name in (row, balanced_row(row)))
        told = [plain, even] if plain and even and plain[:2] != even[:2] else [plain]
        said += [sentence for _, _, sentence in filter(None, told)]
    if rising := [name for name, own in found.items() if still_rose(own["knn"])]:
        said.append(f"kNN still rose at the end of {', '.join(rising)}: more epochs may give more")
    return said


def _verdict_by(row: str, found: dict[str, Json]) -> tuple[str, int, str] | None:
    """The best way by a row of scores, whether it is clearly above the beginning (1) or below it (-1), and in words."""
    ways, starts, untrained = (
        {name: own["scores"][who][row] for name, own in found.items() if row in own["scores"][who]}
        for who in ("pretrained", "start", "untrained")
    )
    before = starts or untrained
    if not ways or not before:
        return None
    best, first = highest(ways), highest(before)
    base, gain = before[first], above(found[best], row, before[first]).direction
    word = "clearly worse" if gain < 0 else f"{'not ' if gain == 0 else ''}clearly better"
    several = len({score["value"] for score in before.values()}) > 1
    named = f" of {first}" if several else ""
    than = f"the weights{named} as they are" if starts else f"the untrained network{named}"
    compared = f"{word} than {than} ({100 * base['value']:.1f})"
    said = f"{row_title(row)}: the best way is {best} with {figures(ways[best])}, {compared}"
    own = untrained.get(best) if starts and best not in starts else None
    if own and above(found[best], row, own).direction < 0:
        said += f" but clearly worse than its own untrained network ({figures(own)})"
    if starts and gain <= 0 and not any(less(score, base).direction > 0 for score in untrained.values()):
        said += ": use these" if gain < 0 else ": these do as well, as far as these images tell"
    return best, gain, said


def above(own: Json, row: str, base: Json) -> Score:
    """How far a way's features are above a beginning; above its own, image by image, as its runs' evaluations say."""
    gain = own["gains"].get(row)
    if gain and own["scores"][gain["above"]][row]["value"] == base["value"]:
        return Score(gain["value"], gain["spread"], gain["over"])
    return less(own["scores"]["pretrained"][row], base)


def less(one: Json, other: Json) -> Score:
    """The difference of two scores as if they were independent of each other."""
    first, second = (Score(score["value"], score["spread"], score["over"]) for score in (one, other))
    return first.less(second)


def gains_of(found: list[dict[str, Json]]) -> dict[str, Json]:
    """Of each row that all of several runs have, the mean gain and its standard error over images and over seeds.

    The runs are tested on the same images, so that more of them do not make the error over images smaller.
    """
    rows: dict[str, Json] = {}
    for row in found[0] if found else ():
        own = [gains[row] for gains in found if row in gains]
        if len(own) < len(found):
            continue
        values = [gain["value"] for gain in own]
        over_images = math.sqrt(statistics.fmean(gain["spread"] ** 2 for gain in own))
        rows[row] = {**own[0], "value": statistics.fmean(values), "spread": over_images, "values": values}
        if len(values) > 1:
            rows[row]["spread"] = math.hypot(over_images, error_of_mean(values))
            rows[row]["over"] += f" and {len(values)} seeds"
    return rows


def still_rose(curves: list[list[float]]) -> bool:
    """Whether kNN gained more than a point, on average, over the last quarter of some runs."""
    gains = [curve[-1] - curve[-1 - len(curve) // 4] for curve in curves if len(curve) >= 4]
    return bool(gains) and statistics.fmean(gains) > 0.01


def over_runs(evaluations: list[Json], who: str) -> dict[str, Json]:
    """A representation's rows: the value of each run, their mean, and their deviation.

    Where all runs have one value, as of one run or of a start that all share, the spread is that of the score itself.
    """
    rows: dict[str, Json] = {}
    for name in dict.fromkeys(name for evaluation in evaluations for name in evaluation):
        scores = [evaluation[name][who] for evaluation in evaluations if who in evaluation.get(name, {})]
        values = [score["value"] for score in scores]
        if scores:
            several = len(set(values)) > 1
            rows[name] = {
                "metric": scores[0]["metric"],
                "value": statistics.fmean(values),
                "spread": statistics.stdev(values) if several else scores[0]["spread"],
                "over": f"{len(values)} seeds" if several else scores[0]["over"],
                "values": values,
            } | ({"labels": scores[0]["labels"]} if "labels" in scores[0] else {})
    return rows


def labels_needed(evaluation: Json) -> float | None:
    """With how many labels the pretrained backbone reaches what the untrained one has with all of them.

    Between two measured numbers on a straight line over their logarithm; None if it does not, or if no protocol
    measured several numbers of labels.
    """
    goal = evaluation.get("all_labels", {}).get("untrained")
    drawn = [row["pretrained"] for name, row in evaluation.items() if FEW.fullmatch(name)]
    curve = sorted((row["labels"], row["value"]) for row in drawn)
    if goal is None or not curve:
        return None
    if curve[0][1] >= goal["value"]:
        return float(curve[0][0])
    everything = evaluation["all_labels"]["pretrained"]
    for (few, low), (many, high) in pairwise([*curve, (everything["labels"], everything["value"])]):
        if low < goal["value"] <= high:
            share = (goal["value"] - low) / (high - low)
            return round(math.exp(math.log(few) + share * (math.log(many) - math.log(few))), 1)
    return None


def ranking(found: dict[str, Json]) -> Json:
    """Runs ordered by each measure without labels, best first; with labels also its agreement with the linear probe.

    Agreement is Kendall's tau: 1 for the same order, 0 for no relation, -1 for the opposite order; None for fewer than
    `AGREEING` runs, which chance alone may put in the same order.
    """
    runs = {run: values for own in found.values() for run, values in zip(own["runs"], own["measures"], strict=True)}
    scores = {run: value for own in found.values() for run, value in own[SCORE].items()}
    ranked: Json = {}
    for name, goodness in LABEL_FREE.items():
        good = {run: goodness(values[name]) for run, values in runs.items() if name in values}
        order = sorted(good, key=lambda run: -good[run])
        both = [run for run in order if run in scores]
        pairs = [good[run] for run in both], [scores[run] for run in both]
        tau = float(kendalltau(*pairs).statistic) if len(both) >= AGREEING else math.nan
        ranked[name] = {"order": order, "agreement": None if math.isnan(tau) else round(tau, 3), "runs": len(both)}
    return ranked
