"""`twofold compare`: several methods with the same compute on the same images, measured the same way."""

import json
import math
import multiprocessing
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau
from torch.utils.flop_counter import FlopCounterMode

from twofold import checkpoint, methods, recipe
from twofold import device as devices
from twofold.data import open_data
from twofold.data.loader import Part, Plan, Streamed, sample
from twofold.data.sources import Source
from twofold.diagnosis.checkup import diagnose
from twofold.errors import Collapsed, Diverged, UsageError
from twofold.evaluation.protocols import evaluate, known
from twofold.interrupt import Interrupt
from twofold.log import Log, terminal
from twofold.prepare import Preparation
from twofold.recipe import Recipe
from twofold.resolve import backbone_spec, resolve
from twofold.run import Run, build_method
from twofold.train import train

COUNTED = 16  # images whose forward and backward pass is counted
SCORE = "linear"
INTERRUPTED = 130
COSTS = ("seconds", "images a second", "peak memory MB")

Row = dict[str, Any]

LABEL_FREE: dict[str, Callable[[float], float]] = {
    "rank": lambda value: value,
    "lidar": lambda value: value,
    "alpha": lambda value: -abs(value - 1),
}
"""Measures that rank runs without labels, as what is the more the better: the best alpha is 1."""


def compare(
    data: str | Path,
    methods: str | Sequence[str],
    out: str | Path,
    seeds: int = 1,
    protocols: str = "knn,linear,fewshot",
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Pretrain with each method and each of ``seeds`` seeds, evaluate, diagnose; write compare.json and compare.html.

    Every method gets the same compute: the first has ``epochs``, the others as many as cost the same number of
    floating-point operations, forward and backward, of networks on their views. What is done already is not done
    again, so a stopped comparison goes on.

    Args:
        data: images; with labels they are also evaluated.
        methods: names, or one text with commas.
        out: the folder of the runs and of the page.
        seeds: how many runs of each method, with the seeds 0, 1, ...
        protocols: see `evaluate`.
        quiet: nothing on the terminal.
        **settings: of the recipe, for all methods.

    Returns:
        What compare.json holds.

    Raises:
        UsageError: for unusable data, methods or settings, before anything is computed.
    """
    from twofold.page.versus import write_page

    folder, log = Path(out), Log(None if quiet else terminal())
    names = methods.split(",") if isinstance(methods, str) else list(methods)
    protocols = ",".join(known(protocols))
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, not {seeds}")
    wanted = {name: recipe.make(name, **settings, data=str(data)) for name in map(canonical, names)}
    source = open_data(data).limited(settings.get("limit", 0)).train
    budget = budget_of(wanted, source, folder, log)
    folder.mkdir(parents=True, exist_ok=True)
    protocols = protocols if source.labels is not None else ""
    for seed in range(seeds):
        for name, share in budget.items():
            path = folder / f"{name}-{seed}"
            if not (path / "result.json").exists():
                log.say(f"{path}: {share['epochs']} epochs")
                own = dict(settings, data=str(data), seed=seed, epochs=share["epochs"])
                run_apart(own, name, path, protocols, quiet)
    result = collected(folder, budget, seeds, str(data))
    checkpoint.write_text(folder / "compare.json", json.dumps(result, indent=1) + "\n")
    write_page(folder, result)
    return result


def canonical(name: str) -> str:
    return methods.spec(name.strip()).name


def budget_of(wanted: dict[str, Recipe], source: Source, folder: Path, log: Log) -> dict[str, dict[str, Any]]:
    """For each method its operations an image, and the epochs that cost what the first one's do.

    Raises:
        UsageError: if a method cannot be built with these settings.
    """
    costs = {name: operations(settings, source, folder / name) for name, settings in wanted.items()}
    first = next(iter(wanted))
    found = {}
    for name, settings in wanted.items():
        epochs = max(1, round(settings.epochs * costs[first] / costs[name]))
        found[name] = {"operations": costs[name], "epochs": epochs, "backbone": settings.backbone}
        log.say(f"{name}: {costs[name] / 1e9:.3g} billion operations an image and epoch, {epochs} epochs")
    return found


def operations(wanted: Recipe, source: Source, path: Path) -> int:
    """Floating-point operations of one image's forward and backward pass: convolutions and products, all its views."""
    few = sample(source, COUNTED)
    settings, _ = resolve(recipe.replace(wanted, batch=len(few), accumulate=1), few, path, torch.device("cpu"), 1)
    cpu, count = torch.device("cpu"), len(few)
    method = build_method(settings, backbone_spec(settings), count).train()
    prepare = Preparation(settings, method, count, cpu, torch.float32)
    loader = Streamed(few, cpu, 0, 1.0, lambda *_: None)
    crops = next(iter(loader.load(Plan(count, count, 0), prepare.views, [Part(0, slice(0, count))])))
    with FlopCounterMode(display=False) as counter:
        torch.stack(list(method(prepare(crops), 0.0).terms.values())).sum().backward()
    total: int = counter.get_total_flops()
    return total // count


def run_apart(settings: Row, name: str, path: Path, protocols: str, quiet: bool) -> None:
    """One run in a process of its own, so that its peak of memory is its own.

    Raises:
        KeyboardInterrupt: if it was interrupted.
        RuntimeError: if it failed for a reason that is not the method's.
    """
    arguments = (settings, name, path, protocols, quiet)
    process = multiprocessing.get_context("spawn").Process(target=run_one, args=arguments)
    with Interrupt() as interrupt:
        process.start()
        while process.is_alive():
            process.join(0.2)
            if interrupt.asked:
                process.terminate()  # asks it to stop: it writes its checkpoint
                process.join()
    if interrupt.asked or process.exitcode == INTERRUPTED:
        raise KeyboardInterrupt
    if process.exitcode:
        raise RuntimeError(f"the run in {path} failed; give the command again to go on")


def run_one(settings: Row, name: str, path: Path, protocols: str, quiet: bool) -> None:
    """Pretrain, evaluate, diagnose, and write result.json when all of it is done."""
    wanted = recipe.make(name, **settings, out=str(path))
    result: Row = {"ended": "as it should", "evaluation": {}}
    try:
        try:
            train(wanted, None if quiet else terminal())
        except (Diverged, Collapsed) as error:
            result["ended"] = str(error)
        result["peak memory MB"] = peak_memory(devices.choose(wanted.device))
        run, saved = Run(path), path / "checkpoint.pt"
        result["seconds"] = round(checkpoint.load(saved)["seconds"]) if saved.exists() else None
        result["images a second"] = round(statistics.median([row["images_per_second"] for row in run.metrics] or [0]))
        if protocols and (path / "backbone.json").exists():
            result["evaluation"] = evaluate(run, protocols=protocols, device=wanted.device)["scores"]
        result["diagnosis"] = diagnose(run, device=wanted.device)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    checkpoint.write_text(path / "result.json", json.dumps(result) + "\n")


def peak_memory(on: torch.device) -> int:
    """Of the GPU if there is one, else of this process and its data workers, in MB."""
    if on.type == "cuda":
        return round(torch.cuda.max_memory_allocated(on) / 1e6)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def collected(folder: Path, budget: dict[str, Row], seeds: int, data: str) -> Row:
    """Everything that the runs wrote, by method, and how well measures without labels rank them."""
    found: dict[str, Row] = {}
    pixels: dict[str, Row] = {}
    for name, share in budget.items():
        runs = [f"{name}-{seed}" for seed in range(seeds)]
        results = [json.loads((folder / run / "result.json").read_text(encoding="utf-8")) for run in runs]
        evaluations = [result["evaluation"] for result in results if result["evaluation"]]
        pixels = pixels or over_runs(evaluations, "raw pixels")
        found[name] = {
            **share,
            "runs": runs,
            "scores": {who: over_runs(evaluations, who) for who in ("pretrained", "untrained")},
            "labels needed": [labels_needed(evaluation) for evaluation in evaluations],
            "measures": [result["diagnosis"]["measures"].get("features", {}) for result in results],
            "findings": [[finding["name"] for finding in result["diagnosis"]["findings"]] for result in results],
            **{key: [result[key] for result in results] for key in (*COSTS, "ended")},
        }
    return {
        "data": {"name": data, "fingerprint": open_data(data).train.fingerprint()},
        "seeds": seeds,
        "methods": found,
        "raw pixels": pixels,
        "ranking": ranking(found),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("twofold", "torch", "timm", "scikit-learn")},
    }


def over_runs(evaluations: list[Row], who: str) -> dict[str, Row]:
    """A representation's rows: the value of each run, their mean, and their deviation (of one run: its own spread)."""
    rows: dict[str, Row] = {}
    for name in evaluations[0] if evaluations else ():
        scores = [evaluation[name][who] for evaluation in evaluations if who in evaluation[name]]
        values = [score["value"] for score in scores]
        if scores:
            several = len(values) > 1
            rows[name] = {
                "metric": scores[0]["metric"],
                "value": statistics.fmean(values),
                "spread": statistics.stdev(values) if several else scores[0]["spread"],
                "over": f"{len(values)} seeds" if several else scores[0]["over"],
                "values": values,
            } | ({"labels": scores[0]["labels"]} if "labels" in scores[0] else {})
    return rows


def labels_needed(evaluation: Row) -> float | None:
    """With how many labels the pretrained backbone reaches what the untrained one has with all of them.

    Between two measured numbers on a straight line over their logarithm; None if it does not, or if no protocol
    measured several numbers of labels.
    """
    goal = evaluation.get("all labels", {}).get("untrained")
    curve = sorted({(row["pretrained"]["labels"], row["pretrained"]["value"]) for row in evaluation.values()
                    if "labels" in row.get("pretrained", {}) and "draws" in row["pretrained"]["over"]})  # fmt: skip
    if goal is None or not curve:
        return None
    if curve[0][1] >= goal["value"]:
        return float(curve[0][0])
    everything = evaluation["all labels"]["pretrained"]
    for (few, low), (many, high) in pairwise([*curve, (everything["labels"], everything["value"])]):
        if low < goal["value"] <= high:
            share = (goal["value"] - low) / (high - low)
            return round(math.exp(math.log(few) + share * (math.log(many) - math.log(few))), 1)
    return None


def ranking(found: dict[str, Row]) -> Row:
    """Runs ordered by each measure without labels, best first; with labels also its agreement with the linear probe.

    Agreement is Kendall's tau: 1 for the same order, 0 for no relation, -1 for the opposite order.
    """
    runs = {run: values for own in found.values() for run, values in zip(own["runs"], own["measures"], strict=True)}
    scores = {
        run: value
        for own in found.values()
        if len(values := own["scores"]["pretrained"].get(SCORE, {}).get("values", [])) == len(own["runs"])
        for run, value in zip(own["runs"], values, strict=True)
    }
    ranked: Row = {}
    for name, goodness in LABEL_FREE.items():
        good = {run: goodness(values[name]) for run, values in runs.items() if name in values}
        order = sorted(good, key=lambda run: -good[run])
        both = [run for run in order if run in scores]
        pairs = [good[run] for run in both], [scores[run] for run in both]
        tau = float(kendalltau(*pairs).statistic) if len(both) > 1 else math.nan
        ranked[name] = {"order": order, "agreement": None if math.isnan(tau) else round(tau, 3), "runs": len(both)}
    return ranked
