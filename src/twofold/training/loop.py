"""Pretraining, top to bottom: no callbacks, no branch on the method."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from twofold import device, dist, files, rng
from twofold.data.inspection import Inspection
from twofold.data.loader import Crops, Plan
from twofold.data.opening import DataLike, open_data
from twofold.diagnosis.live import Watch
from twofold.errors import Collapsed, Diverged, UsageError
from twofold.evaluation.online import OnlineKNN
from twofold.methods.base import Method, Output
from twofold.metrics import first_metrics
from twofold.recipe import toml
from twofold.recipe.recipe import Recipe
from twofold.run import Run, build_method
from twofold.schedule import warmup_cosine
from twofold.training import writers
from twofold.training.interrupt import Interrupt
from twofold.training.log import Bar, Log, duration, status
from twofold.training.optimizer import create_optimizer
from twofold.training.prepare import MicroBatches, Preparation
from twofold.training.resolve import backbone_spec, resolve

SAVE_SECONDS = 300.0


def train(wanted: Recipe, console: Console | None = None, data: DataLike = None) -> Run:
    """Carry out a recipe, or go on with it where it was stopped.

    ``data``: the images that the recipe's ``data`` names, where they cannot be opened by that name.

    Raises:
        UsageError: for unusable data or settings, or a run directory that holds another recipe.
        Diverged: when the loss is no longer finite; failure.pt in the run directory holds the step.
        Collapsed: with ``on_collapse`` "stop", after a checkpoint was written.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    on = device.choose(wanted.device)
    device.reuse_memory()
    with dist.processes(on), Interrupt() as interrupt, ExitStack() as held:
        log = Log(console if dist.rank() == 0 else None)
        return _train(wanted, wanted.data if data is None else data, on, log, interrupt, held)


def _train(wanted: Recipe, data: DataLike, on: torch.device, log: Log, interrupt: Interrupt, held: ExitStack) -> Run:
    main = dist.rank() == 0  # the process that writes

    # What is asked for, and what it means on these data and this machine.
    writers.check(wanted.writers)
    workers = wanted.workers if wanted.workers >= 0 else min(16, os.cpu_count() or 1)
    source = open_data(data).limited(wanted.limit).train
    run = Run(wanted.out or default_out(wanted))
    saved = run.path / "checkpoint.pt"
    begun = saved.exists()
    unreadable: list[str] = []

    def bad(name: str, reason: str) -> None:
        unreadable.append(name)
        log.say(f"cannot read {name}: {reason}", quiet=True)

    inspection = Inspection(source, max(1, workers), wanted.max_unreadable, bad)
    settings, said = resolve(wanted, inspection, run.path, on, begun)
    spec = backbone_spec(settings)

    # Images, and which of them form which step.
    images = inspection.load(settings.resident == "yes", on, workers)
    source = inspection.readable
    batch = batch_size(settings, len(images))
    plan = Plan(len(images), batch, settings.seed)
    steps = settings.epochs * plan.steps_per_epoch
    warmup = round(min(settings.warmup_epochs, settings.epochs / 10) * plan.steps_per_epoch)

    # Networks.
    dtype = torch.float64 if settings.precision == "fp64" else torch.float32
    method = device.place(build_method(settings, spec, len(images)), on, dtype).train()
    prepare = Preparation(settings, method, batch, on, dtype)
    optimizer = create_optimizer(method, settings.optimizer, settings.weight_decay, settings.optimizer_momentum)

    # Where the run was, if it has begun.
    if main:
        held.enter_context(run.held())
        if saved.exists() != begun:
            raise UsageError(f"another process has been at work on {run.path}: give the command again")
    dist.barrier()  # before it, nobody writes; after it, nobody else does
    identity = {"images": len(images), "fingerprint": source.fingerprint()}
    start, before = 0, 0.0
    if begun:
        state = files.load(saved)
        if state["data"] != identity:
            was, now = state["data"]["images"], len(images)
            change = f"{was} images, not {now}" if was != now else f"{was} other images"
            raise UsageError(f"{settings.data} is not what {run.path} began with, {change}: choose another --out")
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        start, before = state["step"], state["seconds"]
    if main:
        if not begun:  # nothing of a run that diverged before its first checkpoint counts for this one
            (run.path / "failure.pt").unlink(missing_ok=True)
        held.enter_context(log.to(run.path / "log.txt"))
        files.write_text(run.path / "recipe.toml", toml.dumps(settings))
    if start:
        said = [f"{run.path} goes on at step {start} of {steps}" if start < steps else f"{run.path} is already done"]
    elif unreadable:
        said.append(f"{len(unreadable)} images cannot be read and are left out ({run.path}/log.txt names them)")
    if batch < settings.batch_size:
        said.append(f"batch {batch} instead of {settings.batch_size}: there are {len(images)} images")
    for sentence in said + notes(settings, method, batch, len(images)):
        log.say(sentence)

    # Yardsticks: the loss of a collapsed batch, the kNN score of the untrained backbone, the doctor's watch.
    metrics = held.enter_context(writers.opened(settings, run.path, start, steps)) if main else None
    trivial = method.collapsed_loss(batch // settings.accumulate)
    knn = OnlineKNN.of(source, spec, on, settings.precision) if main and settings.knn_every > 0 else None
    untrained = first_metrics(run.path / "metrics.jsonl").get("knn_untrained") if start else None
    if knn and start == 0:
        untrained = knn.score(method.backbone)
    score = None
    watch = Watch(settings, method, steps, plan.steps_per_epoch, run.metrics if start else []) if main else None

    began = last_saved = time.monotonic()
    parts = iter(images.load(plan, prepare.views, MicroBatches(range(start, steps), batch, settings.accumulate)))
    with Bar(log.console, steps, start) as bar:
        for step in range(start, steps):
            clock, progress = time.monotonic(), step / steps
            torch.manual_seed(rng.fold(settings.seed, "network", step, dist.rank()))  # dropout, where there is any
            lr = warmup_cosine(settings.lr * batch / 256, step, steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = lr

            learned = learn(method, optimizer, parts, prepare, settings, progress)
            loss = sum(learned.terms.values())
            if not math.isfinite(loss + learned.gradient_norm):
                failure = f"the loss is {loss} and the norm of its gradient {learned.gradient_norm} at step {step}"
                if main:
                    state = {"step": step, "terms": learned.terms, "gradient_norm": learned.gradient_norm}
                    state |= {"index": plan.indices(step), "method": method.state_dict()}
                    files.save(run.path / "failure.pt", state)
                    log.say(f"{failure}, {learned.terms}", quiet=True)
                raise Diverged(
                    f"{failure}; {run.path}/failure.pt holds its terms, weights and images' numbers; try a lower "
                    "--lr or --grad-clip 1"
                )
            optimizer.step()
            method.after_step(progress)

            # What there is to say of it.
            done, epoch = step + 1, step // plan.steps_per_epoch
            row: dict[str, Any] = {"step": step, "epoch": epoch, "loss": loss, **learned.terms, "lr": lr}
            row |= {"gradient_norm": learned.gradient_norm}
            if step == 0:
                row |= {"steps": steps, "collapsed": trivial} | ({"knn_untrained": untrained} if knn else {})
            if knn and (done == steps or (done % plan.steps_per_epoch == 0 and (epoch + 1) % settings.knn_every == 0)):
                row["knn"] = score = knn.score(method.backbone)
            found = watch.look(row, learned.output) if watch else []
            for finding in found:
                log.say(finding.sentence)
            took = time.monotonic() - clock
            speed = {"images_per_second": round(batch / took, 1), "waiting": round(learned.waited / took, 3)}
            if metrics:
                metrics.write(row | speed)
            yardsticks = {"collapsed": trivial, "untrained": untrained, "knn": score}
            left = (time.monotonic() - began) / (done - start) * (steps - done)
            shown = status(loss, learned.terms, yardsticks, speed)
            bar.update(done, f"epoch {epoch + 1}/{settings.epochs}", shown, left)

            ends = bool(found) and settings.on_collapse == "stop" and done < steps
            stop = dist.any_process(interrupt.asked or ends, on)
            if metrics and (stop or done == steps or due(settings, done, last_saved)):
                last_saved = time.monotonic()
                state = {"step": done, "seconds": before + last_saved - began, "data": identity}
                state |= {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
                metrics.sync()
                files.save(saved, state)
            if ends:
                raise Collapsed(f"stopped at step {done} of {steps}: {found[0].name} (twofold diagnose {run.path})")
            if stop and done < steps:
                log.say(f"stopped at step {done} of {steps}; the same command goes on from there")
                raise KeyboardInterrupt

    if main:
        run.write_backbone(method.backbone, spec)
        if start < steps:
            log.say(f"{run.path}: {steps} steps in {duration(before + time.monotonic() - began)}")
    dist.barrier()
    return run


class Learned(NamedTuple):
    """One step's terms and norm of the gradient, its last part's output, the seconds it waited for images."""

    terms: dict[str, float]
    gradient_norm: float
    output: Output
    waited: float


def learn(
    method: Method,
    optimizer: torch.optim.Optimizer,
    parts: Iterator[Crops],
    prepare: Preparation,
    settings: Recipe,
    progress: float,
) -> Learned:
    """Forward and backward through all parts of a step; the gradient, clipped, is left for the optimizer."""
    optimizer.zero_grad()
    terms: dict[str, Tensor] = {}
    waited = 0.0
    for _ in range(settings.accumulate):
        asked = time.monotonic()
        part = next(parts)
        waited += time.monotonic() - asked
        seen = prepare(part)
        with device.autocast(prepare.on, settings.precision):
            output = method(seen, progress)
        (torch.stack(list(output.terms.values())).sum() / settings.accumulate).backward()
        for name, term in output.terms.items():
            terms[name] = terms.get(name, 0) + term.detach() / settings.accumulate
    dist.sum_gradients(method.parameters())
    norm = nn.utils.get_total_norm([p.grad for p in method.parameters() if p.grad is not None])
    if settings.grad_clip:
        nn.utils.clip_grads_with_norm_(method.parameters(), settings.grad_clip, norm)
    *numbers, size = torch.stack([*terms.values(), norm.to(prepare.dtype)]).tolist()
    return Learned(dict(zip(terms, numbers, strict=True)), size, output, waited)


def batch_size(settings: Recipe, images: int) -> int:
    """Images in a step: what is asked for or all there are, in equal parts for all processes.

    Raises:
        UsageError: if it cannot be cut, or the parts would be smaller than two images.
    """
    share = settings.accumulate * dist.world()
    batch = min(settings.batch_size, images) // share * share
    if settings.batch_size % share:
        raise UsageError(
            f"batch {settings.batch_size} cannot be cut into {share} equal parts (processes times accumulate)"
        )
    if batch < 2 * share:
        raise UsageError(f"{images} images are too few for a batch of {share} parts of at least 2 images")
    return batch


def due(settings: Recipe, done: int, last: float) -> bool:
    """Whether a checkpoint is to be written."""
    if settings.save_every:
        return done % settings.save_every == 0
    return time.monotonic() - last > SAVE_SECONDS


def default_out(wanted: Recipe) -> str:
    """``runs/DATA-METHOD``."""
    name = Path(wanted.data.split(":")[-1]).name.split(".")[0].split("{")[0].rstrip("-_") or "data"
    return f"runs/{name}-{wanted.method}"


def notes(settings: Recipe, method: Method, batch: int, images: int) -> list[str]:
    """What a user should know about this run before it begins."""
    weights = sum(p.numel() for p in method.backbone.parameters())
    said = [
        f"{settings.method}, {settings.backbone} ({weights / 1e6:.1f} million weights), {images} images at "
        f"{settings.image_size} px, batch {batch}, learning rate {settings.lr * batch / 256:g}, {settings.precision}, "
        f"images {'in memory' if settings.resident == 'yes' else 'decoded as needed'}"
    ]
    if settings.accumulate > 1:
        said.append(
            f"accumulate {settings.accumulate}: every loss sees {batch // settings.accumulate} images at a time, not "
            f"{batch}: fewer negatives and coarser batch statistics than one step of {batch} would have"
        )
    if dist.world() > 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in method.modules()):
        said.append(
            f"batch norm in each of the {dist.world()} processes sees its own "
            f"{batch // settings.accumulate // dist.world()} images"
        )
    return said
