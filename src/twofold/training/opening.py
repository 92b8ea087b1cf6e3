"""Opening a run: from what is wanted to everything that the loop needs, at the step where the run was."""

import dataclasses
import os
from contextlib import ExitStack
from pathlib import Path

import torch

from twofold import device, dist
from twofold.data.inspection import Inspection
from twofold.data.kinds import asked
from twofold.data.opening import DataLike, open_data
from twofold.data.plan import Plan
from twofold.encoding.encoder import Encoder
from twofold.errors import UsageError
from twofold.methods.building import backbone_spec, build_method, fresh_backbone
from twofold.nets import given
from twofold.nets.backbone import check_name, describe, features_of
from twofold.nets.synchronised import synchronise
from twofold.nets.weights import give
from twofold.recipe import recipe, toml
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import Wanted
from twofold.recipe.resolve import difference, resolve
from twofold.run import Run
from twofold.storage import files, locks
from twofold.storage.metrics import gaps
from twofold.training import agreement, checkpoint, neighbours, sharding, writers
from twofold.training.log import Log
from twofold.training.measured import Measurements, starting_weights
from twofold.training.notes import notes
from twofold.training.opened import OpenRun
from twofold.training.optimizer import create_optimizer
from twofold.training.prepare import Preparation


def open_run(wanted: Wanted, data: DataLike, on: torch.device, log: Log, held: ExitStack) -> OpenRun:
    """Open a run, new or begun before, and say what was chosen. Nothing is written if it cannot be opened.

    Args:
        data: the images, where they are not opened by the name that the recipe has.
        held: keeps the run directory and its log for this process until it is closed.

    Raises:
        UsageError: for unusable data or settings, or a run directory that holds another run.
    """
    main = dist.rank() == 0
    writers.check(wanted.get("writers"))
    check_name(wanted.get("backbone"))  # before images are decoded, which may take long
    refuse_without_weights(wanted)
    workers = worker_count(wanted.get("workers"))
    run = Run(wanted.get("out") or default_out(wanted))
    locks.refuse_pipes(run.path)
    begun = agreement.begun(run)
    weights = starting_weights(wanted) if main and not begun else None
    named = open_data(wanted.get("data") if data is None else data).limited(wanted.get("limit"))
    for sentence in named.notes:
        log.say(sentence)
    source = named.train
    unreadable: list[str] = []

    def bad(name: str, reason: str) -> None:
        unreadable.append(name)
        log.say(f"cannot read {name}: {reason}", quiet=len(unreadable) > 1)

    kind = (run.recipe.channels, run.recipe.depth) if begun else asked(wanted.get("channels"), wanted.get("depth"))
    inspection = Inspection(source, max(1, workers), wanted.get("max_unreadable"), bad, *kind)
    settings, said = None, list[str]()
    if begun:
        settings = agreed(wanted, run.recipe, len(source), f"{run.path} holds another run", "choose another --out")
    elif main:
        settings, said = chosen(wanted, Measurements(inspection, on, wanted, weights), len(source))
    if settings is None or dist.world() > 1:
        first = agreement.recipe_of_first(settings, str(run.path))
        other = f"process {dist.rank()} is to begin another run than process 0"
        settings = agreed(wanted, first, len(source), other, "give all the same command")
    sharding.check(settings)
    images = inspection.load(settings.resident, on, workers, settings.channels, settings.depth)
    batch = batch_size(settings, len(images))
    dtype = torch.float64 if settings.precision == "fp64" else torch.float32
    spec = backbone_spec(settings)
    backbone = fresh_backbone(spec, settings.seed)
    if weights:
        said += give(weights, backbone)
    method = build_method(settings, spec, len(images), backbone, run.path if begun else None)
    spec = dataclasses.replace(spec, features=features_of(method.backbone, settings.image_size, settings.channels))
    method = device.place(method, on, dtype).train()
    if dist.world() > 1:
        synchronise(method)
    opened = OpenRun(
        run=run,
        settings=settings,
        spec=spec,
        images=images,
        source=inspection.readable,
        listed={"images": len(source), "fingerprint": source.fingerprint()},
        plan=Plan(len(images), batch, settings.seed),
        method=method,
        prepare=Preparation(settings, method, batch, on, dtype),
        device=on,
        main=main,
        alarm={} if begun or not main else inspection.alarm,
    )
    identity = opened.identity()
    agreement.same_images(len(images), identity["fingerprint"], settings.data)
    mended = hold(opened, begun, held)
    if not begun:
        agreement.weights_of_first(method)
    if main and not begun:  # nothing of a run that diverged before its first checkpoint counts for this one
        (run.path / "failure.pt").unlink(missing_ok=True)
        if weights or given.is_given(spec.name):  # no seed can make them again
            run.write_start(method.backbone, spec)
        run.write_given(method)
    if settings.neighbours and not begun:
        find_neighbours(opened, log)
    lay_out(opened)
    if begun:
        agreement.one_checkpoint(run)
        opened.start, opened.seconds, said = checkpoint.load(
            run.path, method, opened.optimizer, identity, settings.data
        )
        said += [*mended, *gaps(run.path / "metrics.jsonl", opened.start)]
    if main:
        held.enter_context(log.to(run.path / "log.txt"))
        files.write_text(run.path / "recipe.toml", toml.dumps(settings))
    if settings.neighbours:
        dist.barrier()  # they are found
        opened.plan = dataclasses.replace(opened.plan, neighbours=neighbours.kept(run, len(images)))
    for sentence in said + notes(opened, unreadable):
        log.say(sentence)
    return opened


def refuse_without_weights(wanted: Wanted) -> None:
    """
    Raises:
        UsageError: if settings need starting weights, and there are none.
    """
    if wanted.get("weights") or given.is_given(wanted.get("backbone")):
        return
    if wanted.get("neighbours"):
        raise UsageError("neighbours are found by starting weights, and there are none: give --weights")
    if (wanted.get("interpolate_weights") or 1) < 1:
        raise UsageError("interpolate_weights needs weights to start from, and there are none: give --weights")


def lay_out(opened: OpenRun) -> None:
    """Cut the weights into a part for each process, if that is asked for, and make the optimizer that moves them."""
    s, method = opened.settings, opened.method
    opened.twin = sharding.shard(method, opened.device) if s.shard and dist.world() > 1 else method
    opened.optimizer = create_optimizer(
        method,
        s.optimizer,
        s.weight_decay,
        s.optimizer_momentum,
        layer_decay=s.layer_decay,
        bias_scale=(s.bias_lr or s.lr) / s.lr,
        second_beta=s.second_beta,
        lars_trust=s.lars_trust,
        lars_clip=s.lars_clip,
    )


def find_neighbours(opened: OpenRun, log: Log) -> None:
    """Keep each image's neighbours by the features of the backbone as it is before the first step."""
    s = opened.settings
    log.say(f"looks for the {s.neighbours} nearest neighbours of {len(opened.source)} images by the starting weights")
    encoder = Encoder(opened.method.backbone, opened.spec, precision=s.precision)
    neighbours.find(opened.run, opened.source, encoder, s.image_size, s.neighbours)


def agreed(wanted: Wanted, had: Recipe, images: int, other: str, remedy: str) -> Recipe:
    """The recipe that there is, if it is what is wanted, carried out as is wanted.

    Args:
        had: the recipe of a run that has begun, or that the first process begins.
        images: how many there are.
        other: what to say, and ``remedy`` what to do, if it is another one.

    Raises:
        UsageError: if it is another one; the message shows the difference.
    """
    changes = difference(had, wanted, images)
    if changes:
        raise UsageError(f"{other} ({'; '.join(changes)}): {remedy}")
    free = {n: wanted.get(n) for n, (d, _) in recipe.known(wanted.spec).items() if d.operational}
    return recipe.replace(had, **free)


def chosen(wanted: Wanted, measurements: Measurements, images: int) -> tuple[Recipe, list[str]]:
    """The recipe of a new run with nothing left open, and what was chosen, in words.

    Raises:
        UsageError: if mean or std do not fit the images.
    """
    settings, said = resolve(wanted, images, measurements)
    s, channels = settings, settings.channels
    for name, value in (("mean", s.mean), ("std", s.std)):
        if len(value) != channels:
            raise UsageError(f"{name} must be {channels} values, one a channel, not {len(value)}")
    _, more = describe(s.backbone, s.backbone_arguments, s.stem, s.image_size, s.pool, channels)
    return settings, measurements.inspection.changes + said + more


def hold(opened: OpenRun, begun: bool, held: ExitStack) -> list[str]:
    """Make the run directory and keep others from writing to it; what there is to say of a damaged checkpoint.

    Raises:
        UsageError: if another process is at work on it, or has been since it was looked at, no checkpoint is whole, or
            the weights that it started from are needed and missing or damaged.
    """
    mended = []
    if opened.main:
        held.enter_context(opened.run.held())
        if opened.run.begun != begun:
            raise UsageError(f"another process has been at work on {opened.run.path}: give the command again")
        mended = checkpoint.mend(opened.run.path) if begun else []
        if begun and opened.settings.interpolate_weights < 1:
            opened.run.result(opened.method, opened.settings)  # which must be possible at the end
    dist.barrier()  # before it, nobody writes; after it, nobody else does
    agreement.one_folder(opened.run)
    return mended


def worker_count(asked: int | None) -> int:
    """Processes that decode large images: one a core, at most 16, where nothing is asked for."""
    return min(16, os.cpu_count() or 1) if asked is None else asked


def batch_size(settings: Recipe, images: int) -> int:
    """Images in a step: what is asked for or all there are, in equal parts for all processes.

    Raises:
        UsageError: if it cannot be cut, or the parts would be smaller than two images.
    """
    share = settings.accumulate * dist.world()
    batch = min(settings.batch_size, images) // share * share
    if settings.batch_size % share:
        parts = f"{share} equal parts (processes times accumulate)"
        raise UsageError(f"batch_size {settings.batch_size} cannot be cut into {parts}")
    if batch < 2 * share:
        raise UsageError(f"{images} images are too few for a batch of {share} parts of at least 2 images")
    return batch


def default_out(wanted: Wanted) -> str:
    """``runs/DATA-METHOD``."""
    name = Path(wanted.get("data").split(":")[-1]).name.split(".")[0].split("{")[0].rstrip("-_") or "data"
    return f"runs/{name}-{wanted.method.split(':')[-1]}"
