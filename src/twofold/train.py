"""Pretraining, top to bottom: no callbacks, no branch on the method."""

import math
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from twofold import checkpoint, device, dist, rng, toml, writers
from twofold.augment import views_of
from twofold.augment.masks import Masking
from twofold.batch import Batch, Chance
from twofold.data import open_data
from twofold.data.loader import Crops, Part, Plan, load_images
from twofold.errors import Diverged, UsageError
from twofold.evaluation.online import OnlineKNN
from twofold.interrupt import Interrupt
from twofold.log import Bar, Log, duration, first_metrics, status
from twofold.methods.base import Method
from twofold.nets.vit import patch_size
from twofold.optim import create_optimizer
from twofold.recipe import Recipe
from twofold.resolve import backbone_spec, resolve
from twofold.run import Run, build_method
from twofold.schedule import warmup_cosine

SAVE_SECONDS = 300.0


def train(wanted: Recipe, console: Console | None = None) -> Run:
    """Carry out a recipe, or go on with it where it was stopped.

    Raises:
        UsageError: for unusable data or settings, or a run directory that holds another recipe.
        Diverged: when the loss is no longer finite; failure.pt in the run directory holds the step.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    on = device.choose(wanted.device)
    device.reuse_memory()
    with dist.processes(on), Interrupt() as interrupt, ExitStack() as held:
        return _train(wanted, on, Log(console if dist.rank() == 0 else None), interrupt, held)


def _train(wanted: Recipe, on: torch.device, log: Log, interrupt: Interrupt, held: ExitStack) -> Run:
    main = dist.rank() == 0  # the process that writes

    # What is asked for, and what it means on these data and this machine.
    writers.check(wanted.writers)
    workers = wanted.workers if wanted.workers >= 0 else min(16, os.cpu_count() or 1)
    source = open_data(wanted.data).limited(wanted.limit).train
    run = Run(wanted.out or default_out(wanted))
    saved = run.path / "checkpoint.pt"
    begun = saved.exists()
    settings, said = resolve(wanted, source, run.path, on, max(1, workers))
    spec = backbone_spec(settings)

    # Images, and which of them form which step.
    unreadable: list[str] = []

    def bad(name: str, reason: str) -> None:
        unreadable.append(name)
        log.say(f"cannot read {name}: {reason}", quiet=True)

    images, source = load_images(source, settings.resident == "yes", on, workers, settings.max_bad, bad)
    share = settings.accumulate * dist.world()
    batch = min(settings.batch, len(images)) // share * share
    if settings.batch % share:
        raise UsageError(f"batch {settings.batch} cannot be cut into {share} equal parts (processes times accumulate)")
    if batch < 2 * share:
        raise UsageError(f"{len(images)} images are too few for a batch of {share} parts of at least 2 images")
    plan = Plan(len(images), batch, settings.seed)
    steps = settings.epochs * plan.steps_per_epoch
    warmup = round(min(settings.warmup, settings.epochs / 10) * plan.steps_per_epoch)

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
        state = checkpoint.load(saved)
        if state["data"] != identity:
            was, now = state["data"]["images"], len(images)
            change = f"{was} images, not {now}" if was != now else f"{was} other images"
            raise UsageError(f"{settings.data} is not what {run.path} began with, {change}: choose another --out")
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        start, before = state["step"], state["seconds"]
    if main:
        held.enter_context(log.to(run.path / "log.txt"))
        checkpoint.write_text(run.path / "recipe.toml", toml.dumps(settings))
    if start:
        said = [f"{run.path} goes on at step {start} of {steps}" if start < steps else f"{run.path} is already done"]
    elif unreadable:
        said.append(f"{len(unreadable)} images cannot be read and are left out ({run.path}/log.txt names them)")
    if batch < settings.batch:
        said.append(f"batch {batch} instead of {settings.batch}: there are {len(images)} images")
    for sentence in said + notes(settings, method, batch, len(images)):
        log.say(sentence)

    # Yardsticks: the loss of a collapsed batch, the kNN score of the untrained backbone.
    trivial = method.trivial(batch // settings.accumulate)
    knn = OnlineKNN.of(source, spec, on, settings.precision) if main and settings.knn_every > 0 else None
    untrained = first_metrics(run.path / "metrics.jsonl").get("knn_untrained") if start else None
    if knn and start == 0:
        untrained = knn.score(method.backbone)
    score = None

    metrics = held.enter_context(writers.opened(settings, run.path, start, steps)) if main else None
    began = last_saved = time.monotonic()
    parts = images.load(plan, prepare.views, Parts(range(start, steps), batch, settings.accumulate))
    with Bar(log.console, steps, start) as bar:
        for step in range(start, steps):
            clock, waited = time.monotonic(), 0.0
            progress = step / steps
            torch.manual_seed(rng.fold(settings.seed, "network", step, dist.rank()))  # dropout, where there is any
            lr = warmup_cosine(settings.lr * batch / 256, step, steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()

            terms: dict[str, Tensor] = {}
            for _ in range(settings.accumulate):
                asked = time.monotonic()
                part = next(parts)
                waited += time.monotonic() - asked
                seen = prepare(part)
                with device.autocast(on, settings.precision):
                    output = method(seen, progress)
                (torch.stack(list(output.terms.values())).sum() / settings.accumulate).backward()
                for name, term in output.terms.items():
                    terms[name] = terms.get(name, 0) + term.detach() / settings.accumulate

            dist.sum_gradients(method.parameters())
            gradients = [p.grad for p in method.parameters() if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            *numbers, size = torch.stack([*terms.values(), norm.to(dtype)]).tolist()
            values = dict(zip(terms, numbers, strict=True))
            loss = sum(numbers)
            if not math.isfinite(loss + size):
                if main:
                    state = {"step": step, "terms": values, "gradient_norm": size, "index": plan.indices(step)}
                    checkpoint.save(run.path / "failure.pt", state | {"method": method.state_dict()})
                    log.say(f"step {step}: loss {loss}, {values}, norm of the gradient {size}", quiet=True)
                raise Diverged(
                    f"the loss is {loss} and the norm of its gradient {size} at step {step}; {run.path}/failure.pt "
                    "holds its terms, weights and images' numbers; try a lower --lr or --clip 1"
                )
            if settings.clip:
                nn.utils.clip_grads_with_norm_(method.parameters(), settings.clip, norm)
            optimizer.step()
            method.after_step(progress)

            done, epoch = step + 1, step // plan.steps_per_epoch
            stop = dist.any_process(interrupt.asked, on)
            took = time.monotonic() - clock
            row = {"step": step, "epoch": epoch, "loss": loss, **values, "lr": lr, "gradient_norm": size}
            if step == 0:
                row |= {"collapsed": trivial} | ({"knn_untrained": untrained} if knn else {})
            measures = done == steps or (done % plan.steps_per_epoch == 0 and (epoch + 1) % settings.knn_every == 0)
            if knn and measures:
                row["knn"] = score = knn.score(method.backbone)
            speed = {"images_per_second": round(batch / took, 1), "waiting": round(waited / took, 3)}
            if metrics:
                metrics.write(row | speed)
            yardsticks = {"collapsed": trivial, "untrained": untrained, "knn": score}
            left = (time.monotonic() - began) / (done - start) * (steps - done)
            bar.update(done, f"epoch {epoch + 1}/{settings.epochs}", status(loss, values, yardsticks, speed), left)
            due = (
                done % settings.save_every == 0 if settings.save_every else time.monotonic() - last_saved > SAVE_SECONDS
            )
            if metrics and (due or stop or done == steps):
                last_saved = time.monotonic()
                state = {"step": done, "seconds": before + last_saved - began, "data": identity}
                state |= {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
                metrics.sync()
                checkpoint.save(saved, state)
            if stop and done < steps:
                log.say(f"stopped at step {done} of {steps}; the same command goes on from there")
                raise KeyboardInterrupt

    if main:
        run.write_backbone(method.backbone, spec)
        if start < steps:
            log.say(f"{run.path}: {steps} steps in {duration(before + time.monotonic() - began)}")
    dist.barrier()
    return run


def default_out(wanted: Recipe) -> str:
    """``runs/DATA-METHOD``."""
    name = Path(wanted.data.split(":")[-1]).name.split(".")[0].split("{")[0].rstrip("-_") or "data"
    return f"runs/{name}-{wanted.method}"


class Preparation:
    """From crops to the batch that a method gets: distorted, normalised, masked."""

    def __init__(self, settings: Recipe, method: Method, batch: int, on: torch.device, dtype: torch.dtype) -> None:
        """
        Raises:
            UsageError: for small or masked views that this method or its backbone cannot take.
        """
        if settings.augment.small_crops and not method.MULTI_CROP:
            raise UsageError(f"{settings.method} has no use for small crops: set --small-crops 0")
        first, second = settings.augment.mask
        if max(first, second) > 0 and method.MASK == "refused":
            raise UsageError(f"{settings.method} has no use for masked views: set --mask 0 0")
        if second > 0 and method.VIEWS == 1:
            raise UsageError(f"{settings.method} has one view: set --mask {first:g} 0")
        patches = (settings.size // patch_size(method.backbone)) ** 2
        if method.MASK == "needed" and (round(first * patches) == 0 or settings.augment.mask_fill):
            raise UsageError(f"{settings.method} needs a masked view: set --mask 0.6 0 --mask-fill false")
        self.views = views_of(settings.augment, settings.size, method.VIEWS)
        self.masking = Masking.of(settings.augment, method.backbone)
        self.mean, self.std = (torch.tensor(v, device=on).view(1, -1, 1, 1) for v in (settings.mean, settings.std))
        self.seed, self.batch, self.share = settings.seed, batch, batch // settings.accumulate
        self.on, self.dtype, self.layout = on, dtype, device.layout(method, on)

    def __call__(self, part: Crops) -> Batch:
        place = part.place
        chance = Chance(self.seed, place.step, self.batch, place.rows, place.rows.start // self.share, self.on)
        views = []
        for number, (view, crops, draws) in enumerate(zip(self.views, part.crops, part.draws, strict=True)):
            normalised = (view.distort(crops, draws) - self.mean) / self.std
            views.append(self.masking(normalised.to(self.dtype, memory_format=self.layout), number, chance))
        return Batch(tuple(views), part.index.to(self.on), chance)


class Parts(Sequence[Part]):
    """This process's rows of every part of every step, in the order of computation.

    A part is a slice of the step's batch and every process has a slice of it, so that the rows gathered over the
    processes are those of the part, in order.
    """

    def __init__(self, steps: range, batch: int, accumulate: int) -> None:
        self.steps, self.size, self.accumulate = steps, batch // accumulate, accumulate

    def __len__(self) -> int:
        return len(self.steps) * self.accumulate

    def __getitem__(self, number: int) -> Part:  # type: ignore[override]
        place, part = divmod(number, self.accumulate)
        mine = self.size // dist.world()
        first = part * self.size + dist.rank() * mine
        return Part(self.steps[place], slice(first, first + mine))  # IndexError past the end


def notes(settings: Recipe, method: Method, batch: int, images: int) -> list[str]:
    """What a user should know about this run before it begins."""
    weights = sum(p.numel() for p in method.backbone.parameters())
    said = [
        f"{settings.method}, {settings.backbone} ({weights / 1e6:.1f} million weights), {images} images at "
        f"{settings.size} px, batch {batch}, learning rate {settings.lr * batch / 256:g}, {settings.precision}, "
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
