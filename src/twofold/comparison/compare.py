"""`twofold compare`: several methods and starts with the same compute on the same images, measured the same way."""

import json
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from twofold import dist, launch
from twofold.comparison.running import STARTING, UNGUARDED, Shared, result_of
from twofold.comparison.standings import best_way, collected, with_half
from twofold.comparison.ways import SCRATCH, ways_of
from twofold.data.inspection import Inspection
from twofold.data.kinds import asked
from twofold.data.loader import Streamed
from twofold.data.names import PYTHON
from twofold.data.opening import Data, DataLike, name_of, open_data
from twofold.data.plan import MicroBatch, Plan, sample
from twofold.data.sources import Source, digest
from twofold.device import return_memory
from twofold.errors import UsageError
from twofold.evaluation.evaluate import known
from twofold.evaluation.protocols import UNLABELLED
from twofold.evaluation.split import splits_for
from twofold.evaluation.verdict import Json
from twofold.methods.building import backbone_spec, build_method
from twofold.nets.weights import Weights, give
from twofold.recipe import recipe
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import Wanted
from twofold.recipe.resolve import resolve
from twofold.run import Run
from twofold.storage import files
from twofold.training import writers
from twofold.training.log import Log, terminal
from twofold.training.measured import Measurements, starting_weights
from twofold.training.opening import batch_size
from twofold.training.prepare import Preparation

JUDGES = ("fewshot", "linear", "knn")  # protocols by which it is said which way is the best
COUNTED = 16  # images whose forward and backward pass is counted


@launch.processes()
def compare(
    data: DataLike,
    methods: str | Sequence[str],
    out: str | Path,
    seeds: int = 1,
    protocols: str = "knn,linear,fewshot",
    starts: str | Sequence[str] = SCRATCH,
    half: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Pretrain with each method from each start, evaluate and diagnose; write compare.json and compare.html.

    Every one gets the same compute: the first has ``epochs``, the others as many as cost the same number of
    floating-point operations, forward and backward, of networks on their views. What came out is also said in words:
    whether a way is better than the starting weights as they are. What is done already is not done again,
    so a stopped comparison goes on. The processes of a `torchrun` launch share the runs, each of which has one process
    and, if there are enough, a GPU of its own.

    Args:
        data: images; with labels, or with masks for ``segmentation``, they are also evaluated. A Python object may take
            the place of a path (see `twofold.data.opening.open_data`); it is pickled, as every run has a process of its
            own. A script that calls this must do so under ``if __name__ == "__main__":``, since each of these processes
            reads the script again.
        methods: the names of the methods, as a list or as one text with commas.
        out: the folder of the runs and of the page.
        seeds: how many runs each method has, at least 1, with the seeds 0, 1, ...
        protocols: how the runs are measured, as in `twofold.evaluate`; one text with commas.
        starts: where the backbone starts, as a list or as one text with commas: ``scratch`` (random weights),
            ``published``, a file of weights, the directory of a run.
        half: whether to make the best way's runs again with half of the images in as many steps, to say what more
            images may change.
        quiet: whether nothing is shown on the terminal.
        **settings: settings of the recipe for all methods, and options of methods, each for those that have it.

    Returns:
        What compare.json holds.

    Raises:
        UsageError: for unusable data, methods or settings, before anything is computed; for processes of a launch that
            do not find the same, or have no folder in common; in a script that calls it when it is only read.
    """
    from twofold.page.versus import write_page

    if STARTING in os.environ:
        sys.exit(UNGUARDED)
    first, meet = dist.rank() == 0, dist.meeting()
    quiet = quiet or not first
    folder, log = Path(out), Log(None if quiet else terminal())
    ways = ways_of(listed(methods), listed(starts), {**settings, "data": name_of(data)})
    asked = known(protocols)
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, not {seeds}")
    wanted = {name: recipe.wanted(**own) for name, own in ways.items()}
    opened = open_data(data).limited(settings.get("limit") or 0)
    for sentence in opened.notes:
        log.say(sentence)
    if opened.train.labels is None:
        asked = [name for name in asked if name in UNLABELLED]
    if half and not set(asked) & set(JUDGES):
        raise UsageError(f"half needs labels, and one of {', '.join(JUDGES)}, by which a way is the best")
    if asked:
        splits_for(opened, not set(asked) <= set(UNLABELLED), "segmentation" in asked)
    protocols = ",".join(asked)
    for one in wanted.values():
        writers.check(one.get("writers"))
    shared = Shared(
        sendable(opened), settings.get("limit") or 0, opened.train.fingerprint(), protocols, folder / "features", quiet
    )
    asked_for = [ways, seeds, protocols, half, shared.fingerprint, str(folder)]
    dist.same(digest([json.dumps(asked_for, default=str)]), "all processes must carry out the same comparison")
    with dist.alone():
        budget = budget_of(wanted, opened.train, log) if first else {}
    budget = dist.of_first(budget)
    return_memory()
    if first:
        folder.mkdir(parents=True, exist_ok=True)
    dist.barrier()
    if not folder.is_dir():
        raise UsageError(f"all processes must share the folder {folder}")

    every = [(seed, name) for seed in range(seeds) for name in budget]
    for number, (seed, name) in list(enumerate(every, 1))[dist.rank() :: dist.world()]:
        own = {**ways[name], "data": opened.name, "seed": seed, "epochs": budget[name]["epochs"]}
        log.say(f"run {number} of {len(every)}: {folder / f'{name}-{seed}'}, {own['epochs']} epochs")
        result_of(own, folder / f"{name}-{seed}", shared)
    meet()
    log.say(f"{len(every)} of {len(every)} runs are done")
    result = collected(folder, budget, seeds, opened)
    best = best_way(result["methods"]) if half else None
    if half and best is None:
        result["verdict"].append("no way has a score, so none was made again with half of the images")
    if best is not None:
        fewer = len(opened.train) // 2
        more = as_many_steps(Run(folder / f"{best}-0").recipe, len(opened.train), fewer)
        for seed in range(seeds)[dist.rank() :: dist.world()]:
            path = folder / f"{best}-half-{seed}"
            log.say(f"{path}, {more['epochs']} epochs of {fewer} images")
            result_of({**ways[best], "data": opened.name, "seed": seed, **more}, path, shared)
        meet()
        result |= with_half(result, folder, best, fewer)
    if first:
        files.write_json(folder / "compare.json", result, indent=1)
        write_page(folder, result)
    return result


def as_many_steps(settings: Recipe, images: int, fewer: int) -> Json:
    """The settings with which ``fewer`` images come in about as many steps, and batches as large, as all did."""
    whole, part = (max(1, count // min(settings.batch_size, count)) for count in (images, fewer))
    epochs = max(1, round(settings.epochs * whole / part))
    return {"limit": fewer, "epochs": epochs, "batch_size": settings.batch_size}


def sendable(data: Data) -> str | Data:
    """What a process of its own opens as these data: their name or, of Python objects, themselves.

    Raises:
        UsageError: if they cannot be pickled.
    """
    if not data.name.startswith(PYTHON):
        return data.name
    try:
        pickle.dumps(data)
    except Exception as error:  # somebody else's code
        reason = " ".join(str(error).split())
        raise UsageError(f"{data.name} cannot be pickled for the processes that runs have: {reason}") from None
    return data


def listed(names: str | Sequence[str]) -> list[str]:
    """Names that are given as one text with commas, or one by one."""
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def budget_of(wanted: dict[str, Wanted], source: Source, log: Log) -> dict[str, dict[str, Any]]:
    """For each method its operations an image, and the epochs that cost what the first one's do.

    Raises:
        UsageError: if a method cannot be built with these settings, or starting weights do not fit its backbone.
    """
    channels, depth = (next(iter(wanted.values())).get(name) for name in ("channels", "depth"))
    inspection = Inspection(source, 1, 1.0, lambda *_: None, *asked(channels, depth))
    resolved, costs = {}, {}
    for name, one in wanted.items():
        weights = starting_weights(one)
        resolved[name] = resolve_for(one, inspection, weights)
        costs[name] = operations(resolved[name], inspection.source, weights)
    first = next(iter(wanted))
    found = {}
    for name, settings in resolved.items():
        epochs = max(1, round(settings.epochs * costs[first] / costs[name]))
        found[name] = {"operations": costs[name], "epochs": epochs, "backbone": settings.backbone}
        log.say(f"{name}: {costs[name] / 1e9:.3g} billion operations an image and epoch, {epochs} epochs")
    return found


def resolve_for(wanted: Wanted, inspection: Inspection, weights: Weights | None) -> Recipe:
    """The recipe of a run on the CPU, and from these weights, if there are any.

    Raises:
        UsageError: if its batch cannot be made of these images.
    """
    images = len(inspection.source)
    measurements = Measurements(inspection, torch.device("cpu"), wanted, weights)
    settings, _ = resolve(wanted, images, measurements)
    batch_size(settings, images)
    return settings


def operations(settings: Recipe, source: Source, weights: Weights | None = None) -> int:
    """Floating-point operations of one image's forward and backward pass: convolutions and products, all its views.

    What a method does only once for each image, as a teacher's look at it, is not among them.

    Raises:
        UsageError: if the starting weights do not fit the backbone.
    """
    cpu, few = torch.device("cpu"), sample(source, COUNTED)
    count = len(few)
    method = build_method(settings, backbone_spec(settings), count).train()
    if weights:
        give(weights, method.backbone)
    prepare = Preparation(settings, method, count, cpu, torch.float32)
    loader = Streamed(few, cpu, 0, 1.0, lambda *_: None)
    crops = next(iter(loader.load(Plan(count, count, 0), prepare.views, [MicroBatch(0, slice(0, count))])))
    batch = prepare(crops)
    with torch.no_grad():
        method(batch, 0.5)  # which has seen these images then
    plain = sdpa_kernel(SDPBackend.MATH)  # fused attention is not counted on the CPU
    with plain, FlopCounterMode(display=False) as counter:
        method(batch, 0.5).loss.backward()
    total: int = counter.get_total_flops()
    return total // count
