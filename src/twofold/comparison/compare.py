"""`twofold compare`: several methods and starts with the same compute on the same images, measured the same way."""

import json
import multiprocessing
import pickle
import resource
import statistics
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from twofold import device as devices
from twofold import files
from twofold.comparison.standings import collected
from twofold.comparison.ways import SCRATCH, ways_of
from twofold.data.inspection import Inspection
from twofold.data.kinds import asked
from twofold.data.loader import MicroBatch, Plan, Streamed, sample
from twofold.data.opening import PYTHON, Data, DataLike, name_of, open_data
from twofold.data.sources import Source
from twofold.diagnosis.diagnose import diagnose
from twofold.encoding.progress import silent
from twofold.errors import Collapsed, Diverged, UsageError
from twofold.evaluation.evaluate import evaluate, known
from twofold.evaluation.protocols import UNLABELLED
from twofold.evaluation.split import splits_for
from twofold.evaluation.verdict import Json
from twofold.recipe import recipe
from twofold.recipe.recipe import Recipe, Wanted
from twofold.recipe.resolve import resolve
from twofold.run import Run, backbone_spec, build_method
from twofold.training import writers
from twofold.training.interrupt import Interrupt
from twofold.training.log import Log, progress, terminal
from twofold.training.loop import train
from twofold.training.measured import Measurements, starting_weights
from twofold.training.opening import batch_size
from twofold.training.prepare import Preparation

COUNTED = 16  # images whose forward and backward pass is counted
INTERRUPTED = 130


def compare(
    data: DataLike,
    methods: str | Sequence[str],
    out: str | Path,
    seeds: int = 1,
    protocols: str = "knn,linear,fewshot",
    starts: str | Sequence[str] = SCRATCH,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Pretrain with each method from each start, evaluate, diagnose; write compare.json and compare.html.

    Every one gets the same compute: the first has ``epochs``, the others as many as cost the same number of
    floating-point operations, forward and backward, of networks on their views. What came out is also said in words:
    whether the starting weights are best as they are, or which way is better. What is done already is not done again,
    so a stopped comparison goes on.

    Args:
        data: images; with labels, or with masks for ``segmentation``, they are also evaluated. A Python object may take
            the place of a path (see `twofold.data.opening.open_data`); it is pickled, as every run has a process of its
            own.
        methods: names, or one text with commas.
        out: the folder of the runs and of the page.
        seeds: how many runs of each method, with the seeds 0, 1, ...
        protocols: see `evaluate`.
        starts: of the backbone, names or one text with commas: ``scratch``, ``published``, a file of weights, a run.
        quiet: nothing on the terminal.
        **settings: of the recipe, for all methods, and options of methods, each for those that have it.

    Returns:
        What compare.json holds.

    Raises:
        UsageError: for unusable data, methods or settings, before anything is computed.
    """
    from twofold.page.versus import write_page

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
    if asked:
        splits_for(opened, not set(asked) <= set(UNLABELLED), "segmentation" in asked)
    protocols = ",".join(asked)
    for one in wanted.values():
        writers.check(one.get("writers"))
    sent = sendable(opened)
    budget = budget_of(wanted, opened.train, log)
    folder.mkdir(parents=True, exist_ok=True)
    every = [(seed, name) for seed in range(seeds) for name in budget]
    for number, (seed, name) in enumerate(every, 1):
        own = {**ways[name], "data": opened.name, "seed": seed, "epochs": budget[name]["epochs"]}
        log.say(f"run {number} of {len(every)}: {folder / f'{name}-{seed}'}, {own['epochs']} epochs")
        one_run(own, folder / f"{name}-{seed}", protocols, quiet, sent, opened.train.fingerprint())
    log.say(f"{len(every)} of {len(every)} runs are done")
    result = collected(folder, budget, seeds, opened)
    files.write_text(folder / "compare.json", json.dumps(result, indent=1) + "\n")
    write_page(folder, result)
    return result


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
        UsageError: if a method cannot be built with these settings.
    """
    channels, depth = (next(iter(wanted.values())).get(name) for name in ("channels", "depth"))
    inspection = Inspection(source, 1, 1.0, lambda *_: None, *asked(channels, depth))
    resolved = {name: resolve_for(one, inspection) for name, one in wanted.items()}
    costs = {name: operations(settings, inspection.source) for name, settings in resolved.items()}
    first = next(iter(wanted))
    found = {}
    for name, settings in resolved.items():
        epochs = max(1, round(settings.epochs * costs[first] / costs[name]))
        found[name] = {"operations": costs[name], "epochs": epochs, "backbone": settings.backbone}
        log.say(f"{name}: {costs[name] / 1e9:.3g} billion operations an image and epoch, {epochs} epochs")
    return found


def resolve_for(wanted: Wanted, inspection: Inspection) -> Recipe:
    """The recipe of a run on the CPU.

    Raises:
        UsageError: if its batch cannot be made of these images.
    """
    images = len(inspection.source)
    measurements = Measurements(inspection, torch.device("cpu"), wanted, starting_weights(wanted))
    settings, _ = resolve(wanted, images, measurements)
    batch_size(settings, images)
    return settings


def operations(settings: Recipe, source: Source) -> int:
    """Floating-point operations of one image's forward and backward pass: convolutions and products, all its views.

    What a method does only once for each image, as a teacher's look at it, is not among them.
    """
    cpu, few = torch.device("cpu"), sample(source, COUNTED)
    count = len(few)
    method = build_method(settings, backbone_spec(settings), count).train()
    prepare = Preparation(settings, method, count, cpu, torch.float32)
    loader = Streamed(few, cpu, 0, 1.0, lambda *_: None)
    crops = next(iter(loader.load(Plan(count, count, 0), prepare.views, [MicroBatch(0, slice(0, count))])))
    batch = prepare(crops)
    with torch.no_grad():
        method(batch)  # which has seen these images then
    plain = sdpa_kernel(SDPBackend.MATH)  # fused attention is not counted on the CPU
    with plain, FlopCounterMode(display=False) as counter:
        method(batch).loss.backward()
    total: int = counter.get_total_flops()
    return total // count


def one_run(settings: Json, path: Path, protocols: str, quiet: bool, data: str | Data, fingerprint: str) -> None:
    """Have a run's result, by making the run unless it is there.

    ``settings``: with the method. ``fingerprint``: of the training images of ``data``.

    Raises:
        UsageError: if what is there was made by another recipe or of other images.
    """
    wanted = recipe.wanted(**settings, out=str(path))
    asked = json.loads(json.dumps(wanted.given)) | {"images": fingerprint}
    kept = path / "result.json"
    if kept.exists():
        result = json.loads(kept.read_text(encoding="utf-8"))
        free = {key for key, (declared, _) in recipe.known(wanted.spec).items() if declared.operational} - {"data"}
        changes = [f"{key}: {result['asked'].get(key)} -> {asked.get(key)}" for key in {**result["asked"], **asked}
                   if key not in free and result["asked"].get(key) != asked.get(key)]  # fmt: skip
        if changes:
            raise UsageError(f"{path} was made with other settings ({'; '.join(changes)}): choose another --out")
        if result["protocols"] == protocols:
            return
    run_apart(settings, path, protocols, quiet, data, fingerprint)
    result = json.loads(kept.read_text(encoding="utf-8"))
    if error := result.get("unusable"):
        kept.unlink()
        raise UsageError(error)


def run_apart(settings: Json, path: Path, protocols: str, quiet: bool, data: str | Data, fingerprint: str) -> None:
    """`run_one` in a process of its own, so that its peak of memory is its own.

    Raises:
        KeyboardInterrupt: if it was interrupted.
        RuntimeError: if it failed for a reason that is not the method's.
    """
    arguments = (settings, path, protocols, quiet, data, fingerprint)
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


def run_one(settings: Json, path: Path, protocols: str, quiet: bool, data: str | Data, fingerprint: str) -> None:
    """Pretrain, evaluate, diagnose, and write result.json when all of it is done."""
    wanted = recipe.wanted(**settings, out=str(path))
    result: Json = {"ended": "as it should", "evaluation": {}, "protocols": protocols}
    result["asked"] = wanted.given | {"images": fingerprint}
    try:
        opened = open_data(data).limited(wanted.get("limit"))
        try:
            train(wanted, None if quiet else terminal(), opened)
        except (Diverged, Collapsed) as error:
            result["ended"] = str(error)
        result["peak_memory_mb"] = peak_memory(devices.choose(wanted.get("device")))
        run, saved = Run(path), path / "checkpoint.pt"
        result["seconds"] = round(files.load(saved)["seconds"]) if saved.exists() else None
        result["knn"] = [row["knn"] for row in run.metrics if "knn" in row]
        result["images_per_second"] = round(statistics.median([row["images_per_second"] for row in run.metrics] or [0]))
        with nullcontext(silent) if quiet else progress() as tell:
            if protocols and (path / "backbone.json").exists():
                result["evaluation"] = evaluate(run, opened, protocols, wanted.get("device"), tell)["scores"]
            result["diagnosis"] = diagnose(run, opened, device=wanted.get("device"), tell=tell)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UsageError as error:
        path.mkdir(parents=True, exist_ok=True)
        result["unusable"] = str(error)
    files.write_text(path / "result.json", json.dumps(result) + "\n")


def peak_memory(on: torch.device) -> int:
    """Of the GPU if there is one, else of this process without its data workers, in MB."""
    if on.type == "cuda":
        return round(torch.cuda.max_memory_allocated(on) / 1e6)
    status = Path("/proc/self/status")  # Linux counts the parent's peak into what getrusage says of a child
    if status.exists():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
