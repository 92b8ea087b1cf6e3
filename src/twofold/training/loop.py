"""Pretraining, top to bottom: no callbacks, no branch on the method."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from shlex import quote

import torch
from rich.console import Console

from twofold import device, dist, launch, rng
from twofold.data.opening import DataLike
from twofold.data.plan import Crops
from twofold.data.workers import failures
from twofold.diagnosis.causes import BEHIND
from twofold.errors import Collapsed, Failed
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import Wanted
from twofold.run import Run
from twofold.training.interrupt import Interrupt
from twofold.training.journal import Journal
from twofold.training.log import Log, duration
from twofold.training.opened import OpenRun
from twofold.training.opening import open_run
from twofold.training.optimizer import set_rates
from twofold.training.prepare import MicroBatches
from twofold.training.step import learn

SAVE_SECONDS = 300.0


def train(wanted: Wanted, console: Console | None = None, data: DataLike = None) -> Run:
    """Carry out what is wanted, or go on with it where it was stopped.

    Args:
        console: where to show progress; None: nowhere.
        data: the images, where they are not opened by the name that the recipe has.

    Raises:
        UsageError: for unusable data or settings, or a run directory that holds another recipe.
        Diverged: when the loss is no longer finite; failure.pt in the run directory holds the step.
        Collapsed: with ``on_collapse`` "stop", after a checkpoint was written.
        Failed: when something outside fails, as a full disk, or another process of the run has ended, or when the
            machine or the GPU has too little memory for the run.
        KeyboardInterrupt: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written if a step had begun.
    """
    on = device.choose(wanted.get("device"))
    device.reuse_memory()
    with launch.processes(), enough_memory(), Interrupt() as interrupt, ExitStack() as held:
        log = Log(console if dist.rank() == 0 else None)
        opened = open_run(wanted, data, on, log, held)
        with Journal(opened, log) as journal, failures():
            loop(opened, journal, interrupt)
        with opened.whole() as method:
            if opened.main:
                opened.run.write_backbone(opened.run.result(method, opened.settings), opened.spec)
        if opened.main and opened.start < opened.steps:
            log.say(f"{opened.run.path}: {opened.steps} steps in {duration(journal.seconds)}")
        dist.barrier()
        return opened.run


@contextmanager
def enough_memory() -> Iterator[None]:
    """
    Raises:
        Failed: if there is not enough for what is in the block; it says what takes less.
    """
    try:
        yield
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        raise Failed(f"out of memory{what}: try fewer --workers, a smaller --batch-size or --resident no") from error
    except torch.OutOfMemoryError as error:
        less = "a smaller --batch-size, --chunk 32 or --resident no"
        raise Failed(f"the GPU is out of memory: try {less} (with another --out, if steps have been saved)") from error


def loop(opened: OpenRun, journal: Journal, interrupt: Interrupt) -> None:
    """Every step that is left, from the first to the last."""
    micro_batches = MicroBatches(range(opened.start, opened.steps), opened.plan.batch, opened.settings.accumulate)
    with closing(opened.images.load(opened.plan, opened.prepare.views, micro_batches)) as crops:
        learn_from(crops, opened, journal, interrupt)


def learn_from(crops: Iterator[Crops], opened: OpenRun, journal: Journal, interrupt: Interrupt) -> None:
    """Every step of which there are crops."""
    with torch.random.fork_rng([opened.device] if opened.device.type == "cuda" else []):  # it is the caller's, too
        _learn_from(crops, opened, journal, interrupt)


def _learn_from(crops: Iterator[Crops], opened: OpenRun, journal: Journal, interrupt: Interrupt) -> None:
    s, method, optimizer, steps = opened.settings, opened.method, opened.optimizer, opened.steps
    saved = time.monotonic()
    interrupt.between_steps()
    for step in range(opened.start, steps):
        clock, progress, done = time.monotonic(), step / steps, step + 1
        torch.manual_seed(rng.fold(s.seed, "network", step, dist.rank()))  # dropout, where there is any
        lr, backbone_lr = opened.rates(step)
        set_rates(optimizer, lr, backbone_lr, opened.weight_decay(step))

        learned = learn(
            method, optimizer, crops, opened.prepare,
            accumulate=s.accumulate, grad_clip=s.grad_clip, clip_each=s.clip_each, precision=s.precision,
            progress=progress,
        )  # fmt: skip
        journal.check_finite(step, learned)
        optimizer.step()
        method.after_step(progress)
        if done == steps:
            journal.check_weights(step, learned)

        findings = journal.tell(step, learned, lr, time.monotonic() - clock)
        signs = [finding.name for finding in findings if finding.name not in BEHIND]
        collapsed = bool(signs) and s.on_collapse == "stop" and done < steps
        late = opened.main and due(s, done, saved)  # one clock decides
        stop, save = dist.any_process(opened.device, interrupt.asked or collapsed, late)
        if stop or save or done == steps:
            saved = time.monotonic()
            journal.sync()
            opened.save(done, journal.seconds)
        if stop and done < steps:
            if finding := dist.of_first(signs[0] if collapsed else ""):
                raise Collapsed(
                    f"stopped at step {done} of {steps}: {finding} (twofold diagnose {quote(str(opened.run.path))})"
                )
            journal.log.say(f"stopped at step {done} of {steps}; the same command goes on from there")
            raise KeyboardInterrupt


def due(settings: Recipe, done: int, saved: float) -> bool:
    """Whether a checkpoint is to be written: every so many steps, or every five minutes."""
    if settings.save_every:
        return done % settings.save_every == 0
    return time.monotonic() - saved > SAVE_SECONDS
