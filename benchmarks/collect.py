"""Keep what a run measured, without what is private to a machine, and put it into the README's tables.

    python benchmarks/collect.py digits runs/demo        # benchmarks/results/digits.json, then the README
    python benchmarks/collect.py                         # the README only

The README's tables stand between comments that name their result files; nothing in them is typed.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from twofold import recipe
from twofold.log import duration
from twofold.run import Run
from twofold.tables import REPRESENTATIONS, percent

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MARK = re.compile(r"(<!-- (\w+): ([\w ./-]+) -->\n)(.*?)(<!-- end -->)", re.S)


def collect(name: str, directory: str) -> None:
    """Write results/NAME.json from a run that was evaluated."""
    run = Run.open(directory)
    measured = run.evaluation
    assert measured is not None, f"{directory} was not evaluated"
    local = [f for f, kind in recipe.Recipe.__dataclass_fields__.items() if kind.metadata.get("operational")]
    settings = {key: value for key, value in measured["recipe"].items() if key not in (*local, "data")}
    rows = run.metrics
    kept = {
        "scores": measured["scores"],
        "data": {**measured["data"], "name": Path(measured["data"]["name"]).name},
        "recipe": settings,
        "steps": len(rows),
        "seconds": round(sum(settings["batch"] / row["images_per_second"] for row in rows)),
        "loss": {"first": rows[0]["loss"], "last": rows[-1]["loss"], "collapsed": rows[0]["collapsed"]},
        **{key: measured[key] for key in ("seed", "date", "versions")},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")


def labels_table(names: list[str]) -> str:
    """Accuracy by the number of labels, of one run."""
    (result,) = load(names)
    lines = ["| labels | " + " | ".join(REPRESENTATIONS) + " |", "|---|" + "---:|" * len(REPRESENTATIONS)]
    for protocol, scores in result["scores"].items():
        title = "all, kNN" if protocol == "knn" else protocol
        lines.append(f"| {title} | " + " | ".join(percent(scores[name]) for name in REPRESENTATIONS) + " |")
    return "\n".join(lines)


def runs_table(names: list[str]) -> str:
    """One run a row, kNN and linear probe beside their yardsticks."""
    lines = ["| run | steps | time | kNN | linear |", "|---|---:|---:|---:|---:|"]
    results = load(names)
    for yardstick in ("raw pixels", "untrained"):
        cells = [percent(results[0]["scores"][protocol][yardstick]) for protocol in ("knn", "linear")]
        lines.append(f"| {yardstick} | | | {' | '.join(cells)} |")
    for name, result in zip(names, results, strict=True):
        cells = [percent(result["scores"][protocol]["pretrained"]) for protocol in ("knn", "linear")]
        lines.append(f"| {name} | {result['steps']} | {duration(result['seconds'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def load(names: list[str]) -> list[dict[str, Any]]:
    return [json.loads((RESULTS / f"{name}.json").read_text()) for name in names]


def filled(text: str) -> str:
    """The text with every marked table made anew."""
    tables = {"labels": labels_table, "runs": runs_table}
    return MARK.sub(lambda m: f"{m[1]}{tables[m[2]](m[3].split())}\n{m[5]}", text)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        collect(*sys.argv[1:])
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
