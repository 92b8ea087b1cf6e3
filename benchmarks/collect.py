"""Keep what a run measured, without what is private to a machine, and put it into the documentation's tables.

    python benchmarks/collect.py digits runs/demo        # benchmarks/results/digits.json, then the tables
    python benchmarks/collect.py adapted runs/compare    # the same of a comparison
    python benchmarks/collect.py                         # the tables only

The tables of README.md and docs/ stand between comments that name their result files; nothing in them is typed.
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import claims
import defaults
import peers

from twofold.cli.tables import COLUMNS, percent
from twofold.evaluation.titles import RAW_PIXELS, representation_title, row_title
from twofold.recipe.declared import methods, spec
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import settings_of
from twofold.recipe.settings import declarations
from twofold.run import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = re.compile(r"(<!-- (\w+): ([\w ./-]+) -->\n)(.*?)(<!-- end -->)", re.S)


def collect(name: str, directory: str) -> None:
    """Write results/NAME.json from a run that was evaluated, or from a comparison."""
    kept = compared(Path(directory)) if (Path(directory) / "compare.json").exists() else evaluated(Run.open(directory))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")


def shared(settings: dict[str, Any]) -> dict[str, Any]:
    """A recipe without what is private to a machine."""
    local = [name for name, declaration in declarations(Recipe).items() if declaration.operational]
    paths = ("weights", "teacher_weights")
    return {key: Path(value).name if key in paths else value for key, value in settings.items() if key not in local}


def compared(folder: Path) -> dict[str, Any]:
    """What a comparison found."""
    result: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    ways = {}
    for name, own in result["methods"].items():
        run = Run(folder / own["runs"][0])
        figures = {key: own[key] for key in ("operations", "epochs", "seconds", "findings", "scores")}
        ways[name] = figures | {"steps": len(run.metrics), "recipe": shared(settings_of(run.recipe))}
    data = {**result["data"], "name": Path(result["data"]["name"]).name}
    kept = ("seeds", RAW_PIXELS, "verdict", "date", "versions")
    return {"data": data, "ways": ways} | {key: result[key] for key in kept}


def evaluated(run: Run) -> dict[str, Any]:
    """What an evaluation of a run found."""
    measured = run.evaluation
    assert measured is not None, f"{run.path} was not evaluated"
    settings, rows = shared(measured["recipe"]), run.metrics
    for own in (score for scores in measured["scores"].values() for score in scores.values()):
        own.pop("recall", None)  # a number a class, which no table has
    return {
        **{key: measured[key] for key in ("scores", "representations", "notes")},
        "data": {**measured["data"], "name": Path(measured["data"]["name"]).name},
        "recipe": settings,
        "steps": len(rows),
        "seconds": round(sum(settings["batch_size"] / row["images_per_second"] for row in rows)),
        "loss": {"first": rows[0]["loss"], "last": rows[-1]["loss"], "collapsed": rows[0]["collapsed"]},
        **{key: measured[key] for key in ("seed", "date", "versions")},
    }


def labels_table(names: list[str]) -> str:
    """Accuracy by the number of labels, of one run."""
    (result,) = load(names)
    columns = result["representations"]
    lines = ["| labels | " + " | ".join(map(representation_title, columns)) + " |", "|---|" + "---:|" * len(columns)]
    for row, scores in result["scores"].items():
        title = "all, kNN" if row == "knn" else row_title(row)
        lines.append(f"| {title} | " + " | ".join(percent(scores.get(name)) for name in columns) + " |")
    return "\n".join(lines)


WAYS = ("knn", "few_1", "few_5", "few_10", "linear")


def ways_table(names: list[str]) -> str:
    """Of comparisons on the same images: raw pixels, what each way began with, and what it came to, over seeds."""
    results = load(names)
    rows: dict[str, tuple[dict[str, Any], str]] = {"raw pixels": (results[0][RAW_PIXELS], " | ")}
    for result in results:
        for name, own in result["ways"].items():
            way, scores = name.partition("-")[0], own["scores"]
            if scores["start"]:
                rows["the weights as they are"] = (scores["start"], " | ")
            else:
                rows[f"the network of {way}, untrained"] = (scores["untrained"], " | ")
            title = (
                f"{way}, from the weights" if scores["start"] else way if way == "distill" else f"{way}, from scratch"
            )
            rows[title] = (scores["pretrained"], f"{own['steps']} | {statistics.median(own['seconds']) / 60:.0f}")
    titles = ["kNN" if row == "knn" else row_title(row) for row in WAYS]
    lines = [f"| features | {' | '.join(titles)} | steps | minutes |", "|---|" + "---:|" * (len(WAYS) + 2)]
    for title, (scores, cost) in rows.items():
        lines.append(f"| {title} | {' | '.join(percent(scores.get(row)) for row in WAYS)} | {cost} |")
    return "\n".join(lines)


def learn_table(names: list[str]) -> str:
    """One method a row: mean and deviation over seeds, beside the same backbone untrained and raw pixels."""
    (result,) = load(names)
    lines = [
        "| method | backbone | steps | seconds | kNN | untrained | linear | untrained |",
        "|---|---|" + "---:|" * 6,
    ]
    pixels = next(iter(result["methods"].values()))["scores"][RAW_PIXELS]
    lines.append(
        f"| raw pixels | 16 px | | | {over_seeds(pixels['knn'][:1])} | | {over_seeds(pixels['linear'][:1])} | |"
    )
    for name, row in result["methods"].items():
        scores = row["scores"]
        cells = [over_seeds(scores[who][s]) for s in ("knn", "linear") for who in ("pretrained", "untrained")]
        kind = "ViT" if row["settings"]["backbone"].startswith("vit") else "ResNet"
        size, seconds = row["settings"]["image_size"], round(statistics.mean(row["seconds"]))
        lines.append(f"| {name} | {kind}, {size} px | {row['steps']} | {seconds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def over_seeds(values: list[float]) -> str:
    """Mean and deviation in percent."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def masking_table(names: list[str]) -> str:
    """Step time by the share of masked patches."""
    (result,) = load(names)
    lines = ["| masked | step | of the unmasked step |", "|---:|---:|---:|"]
    for row in result["rows"]:
        share = 100 * row["share_of_unmasked"]
        lines.append(f"| {100 * row['masked']:.0f} % | {row['milliseconds']:.0f} ms | {share:.0f} % |")
    return "\n".join(lines)


def loading_table(names: list[str]) -> str:
    """Images a second of one core, and how many times torchvision's."""
    (result,) = load(names)
    lines = ["| photographs | crops | twofold | torchvision | ratio |", "|---|---|---:|---:|---:|"]
    for name, kinds in result["rows"].items():
        for kind, row in kinds.items():
            cells = [f"{middle:.0f} ({low:.0f} to {high:.0f})" for low, middle, high in row.values()]
            ratio = row["twofold"][1] / row["torchvision"][1]
            lines.append(f"| {name} | {kind} | {' | '.join(cells)} | {ratio:.1f} |")
    return "\n".join(lines)


def operations_table(names: list[str]) -> str:
    """Milliseconds of each operation on a batch, a column a library, for each kind of batch."""
    (result,) = load(names)
    lines = []
    for kind, found in result.items():
        sides = list(next(iter(found["milliseconds"].values())))
        lines += [f"| {kind} | {' | '.join(sides)} |", f"|---|{'---:|' * len(sides)}"]
        lines += [f"| {name} | {' | '.join(f'{row[side]:.1f}' for side in sides)} |"
                  for name, row in found["milliseconds"].items()]  # fmt: skip
        lines.append("")
    return "\n".join(lines[:-1])


def loop_table(names: list[str]) -> str:
    """Images a second of a core from end to end, and how many times lightly's."""
    (result,) = load(names)
    lines = ["| images, precision of twofold | twofold | lightly | ratio |", "|---|---:|---:|---:|"]
    for name, row in result.items():
        cells = [f"{middle:.1f}" for _, middle, _ in row["images_per_second_of_a_core"].values()]
        low, middle, high = row["times_lightlys_speed"]
        lines.append(f"| {name} | {' | '.join(cells)} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    return "\n".join(lines)


def step_table(names: list[str]) -> str:
    """A step's speed as a share of the bare one's; what a GPU reached."""
    (result,) = load(names)
    lines = ["| SimCLR | of the bare step's speed | lowest to highest |", "|---|---:|---:|"]
    for name, row in result.items():
        low, middle, high = row["share_of_the_bare_steps_speed"]
        lines.append(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    lines += ["", "| images a second | twofold | bare step | its share of the matrix rate | memory of both |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for name, row in result.items():
        if "gpu" in row:
            speeds = " | ".join(f"{row['images_a_second'][side]:,}" for side in ("twofold", "bare"))
            share, memory = row["share_of_the_matrix_rate"]["bare"], row["gigabytes_at_most"]
            lines.append(f"| {name} | {speeds} | {share:.0%} | {memory:.1f} GB |")
    return "\n".join(lines)


def size_table(names: list[str]) -> str:
    """What many images cost: probes beside scikit-learn's, crops by the number of images, the start of a command."""
    (result,) = load(names)
    count = f"{result['images']:,}"
    lines = [f"| {count} images | twofold | beside it |", "|---|---:|---:|"]
    own = result["features"]
    beside = f"the bare network on ready tensors {own['bare']}"
    lines.append(f"| features, 32 px, images a second | {own['images_a_second']} | {beside} |")
    for name, row in result["probes"].items():
        cells = [
            f"{row[way]:.0f} s, {row[f'accuracy_of_{way}']:.2%}" for way in ("twofold", "scikit-learn") if way in row
        ]
        lines.append(f"| {name} | {cells[0]} | {'scikit-learn ' + cells[1] if cells[1:] else ''} |")
    lines += ["", "| images of a source | first batch | each later batch | memory |", "|---:|---:|---:|---:|"]
    for length, row in result["crops"].items():
        times = f"{row['first_milliseconds']:.0f} ms | {row['milliseconds']:.0f} ms"
        lines.append(f"| {int(length):,} | {times} | {row['mib']:.0f} MiB |")
    lines += ["", "| start | seconds |", "|---|---:|"]
    lines += [f"| `{what}` | {seconds:.2f} |" for what, seconds in result["start"].items()]
    return "\n".join(lines)


def reliability_table(names: list[str]) -> str:
    """What was tried, and how often it went well."""
    (result,) = load(names)
    lines = ["| test | tried | survived | |", "|---|---:|---:|---|"]
    for stage in result["stages"].values():
        for name, row in stage["rows"].items():
            lines.append(f"| {name} | {row['tried']:,} | {row['survived']:,} | {row['note']} |")
    return "\n".join(lines)


SHOWN = ((256, 128), (1024, 1024), (8192, 128))
"""sizes N, D of which losses are shown; results/losses.json has more"""


def losses_table(names: list[str]) -> str:
    """Each loss's time and memory as a share of the plain formula's and of lightly's, by the sizes of the batch."""
    (result,) = load(names)
    version = result["versions"]["lightly"]
    lines = [
        "| loss | N | D | ms | of the plain formula's time | memory | of lightly's time | memory |",
        "|---|" + "---:|" * 7,
    ]
    for row in (row for row in result["rows"] if (row["n"], row["d"]) in SHOWN):
        shares = [f"{row[key]:.2f}" if key in row else "" for way in ("plain", "lightly") for key in of(way)]
        lines.append(
            f"| {row['loss']} | {row['n']} | {row['d']} | {row['twofold']['milliseconds']:.1f} | {' | '.join(shares)} |"
        )
    made = f"torch {result['versions']['torch']}, lightly {version}, {result['device']}"
    return "\n".join([*lines, "", f"{made}, threads: {result['settings']['threads']}."])


def of(way: str) -> tuple[str, str]:
    return f"time_of_{way}", f"memory_of_{way}"


def chunks_table(names: list[str]) -> str:
    """Peak memory and time of a step by batch and chunk."""
    (result,) = load(names)
    lines = [
        "| batch | chunk | peak memory | of the whole batch's | time of the whole batch's |",
        "|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['batch']} | {row['chunk']} | {row['mib']} MiB | {row['memory_of_whole']:.2f} "
            f"| {row['time_of_whole']:.2f} |"
        )
    return "\n".join([*lines, "", f"{result['method']}, {result['backbone']}, {result['device']}, one thread."])


def defaults_table(names: list[str]) -> str:
    """What the plain command comes to, a row a run."""
    (result,) = load(names)
    return defaults.table(result["cells"])


def peers_table(names: list[str]) -> str:
    """What the same epochs give with twofold and with lightly."""
    (result,) = load(names)
    return peers.table(result["cells"])


def methods_table(names: list[str]) -> str:
    """Every method's parts, from its card."""
    columns = ("family", "topology", "D", "A, B") if names == ["short"] else COLUMNS
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in methods():
        declared = spec(name)
        title, _, paper = declared.title.partition(", ")
        number = paper.split()[-1] if paper.startswith("arXiv") else ""
        link = f"[{title}](https://arxiv.org/abs/{number})" if number and name != "joint" else title
        lines.append(f"| `{name}`: {link} | {' | '.join(declared.parts()[key] for key in columns)} |")
    return "\n".join(lines)


def load(names: list[str]) -> list[dict[str, Any]]:
    return [json.loads((RESULTS / f"{name}.json").read_text()) for name in names]


def filled(text: str) -> str:
    """The text with every marked table made anew."""
    tables = {"labels": labels_table, "learn": learn_table, "masking": masking_table, "methods": methods_table}
    tables |= {"loading": loading_table, "losses": losses_table, "step": step_table, "chunks": chunks_table}
    tables |= {"operations": operations_table, "loop": loop_table, "size": size_table}
    tables |= {"ways": ways_table, "reliability": reliability_table, "defaults": defaults_table}
    tables |= {"peers": peers_table, "claims": claims.table, "experiments": claims.details}
    return MARK.sub(lambda m: f"{m[1]}{tables[m[2]](m[3].split())}\n{m[5]}", text)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        collect(*sys.argv[1:])
    for page in PAGES:
        page.write_text(filled(page.read_text()))
