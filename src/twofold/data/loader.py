"""Batches of images that worker processes decode and crop, as there are too many or too large ones to keep."""

import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from twofold.augment import Views
from twofold.data.crop import Cutter, finest, stacked
from twofold.data.decode import Reduction, Scaled, Unreadable
from twofold.data.kinds import OtherChannels
from twofold.data.plan import Crops, MicroBatch, Plan, drawn
from twofold.data.sources import Source
from twofold.data.workers import GOES_ON, begin, working
from twofold.device import send
from twofold.errors import Failed, UsageError
from twofold.nets.normalize import unit

CONSECUTIVE = 100  # unreadable images in a row before a search for a readable one gives up
SCAN = "twofold scan lists the files that cannot be decoded, and counts the others by their channels and depth"

Bad = Callable[[str, str], None]
"""Told the name and the reason of each unreadable image, once."""


class Streamed:
    """Images decoded when their turn comes, by worker processes."""

    def __init__(self, source: Source, device: torch.device, workers: int, max_bad: float, bad: Bad) -> None:
        self.source, self.device, self.workers = source, device, workers
        self.max_bad, self.bad = max_bad, bad
        self._known_bad: set[int] = set()

    def __len__(self) -> int:
        return len(self.source)

    @property
    def unreadable(self) -> int:
        """How many images could not be read so far."""
        return len(self._known_bad)

    def load(self, plan: Plan, views: Views, parts: Sequence[MicroBatch]) -> Generator[Crops, None, None]:
        loader = DataLoader(
            _CroppedSteps(self.source, plan, views),
            sampler=parts,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=2 if self.workers else None,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=partial(begin, os.getpid()),
            multiprocessing_context="fork" if self.workers and sys.platform == "linux" else None,
            persistent_workers=False,
        )
        with working(loader) as batches:
            for part, made in zip(parts, batches, strict=True):
                if isinstance(made, Broken):
                    cause = RuntimeError(made.traceback)
                    raise Failed(f"a data worker failed at step {part.step}, {made.reason}; {GOES_ON}") from cause
                index, crops, bad = made
                for number, reason in bad:
                    self._note(number, reason)
                if not crops:
                    name, reason = self.source.name(bad[-1][0]), bad[-1][1]
                    raise UsageError(f"{CONSECUTIVE} images in a row cannot be read, the last: {name}: {reason}")
                on_device = [unit(c.to(self.device, non_blocking=True)) for c in crops]
                yield Crops(part, send([index], self.device)[0], on_device, [d for _, d in drawn(views, plan, part)])

    def _note(self, number: int, reason: str) -> None:
        if number in self._known_bad:
            return
        self._known_bad.add(number)
        self.bad(self.source.name(number), reason)
        check_share(len(self._known_bad), len(self.source), self.max_bad, f"{self.source.name(number)}: {reason}")


@dataclass(frozen=True)
class Broken:
    """What went wrong in a worker: in a line, and where."""

    reason: str
    traceback: str


Made = tuple[Tensor, list[Tensor], list[tuple[int, str]]]
"""Of one part of a step: the images' numbers, the crops of each view, which images cannot be read, and why."""


class _CroppedSteps(Dataset[Made | Broken]):
    """One part of a step, decoded and cropped: what a worker does."""

    def __init__(self, source: Source, plan: Plan, views: Views) -> None:
        self.source, self.plan, self.views = source, plan, views

    def __getitem__(self, part: MicroBatch) -> Made | Broken:
        try:
            return self.made(part)
        except Exception as error:  # whatever a source of somebody else's does
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Broken(reason, traceback.format_exc())

    def made(self, part: MicroBatch) -> Made:
        index, second = self.plan.shown(part)
        index = index.clone()
        cutters = [Cutter(view, draws) for view, draws in drawn(self.views, self.plan, part)]
        bad: list[tuple[int, str]] = []
        for row, (number, other) in enumerate(zip(index.tolist(), second.tolist(), strict=True)):
            shows = {number: cutters} if other == number else {number: cutters[:1] + cutters[2:], other: cutters[1:2]}
            for shown, mine in shows.items():
                found = next_readable(self.source, shown, bad, finest(mine, row))
                if found is None:
                    return index, [], bad
                if shown == number:
                    index[row] = found[0]
                for cutter in mine:
                    cutter.cut(row, found[1])
        return index, [stacked(cutter.crops) for cutter in cutters], bad


def next_readable(
    source: Source, number: int, bad: list[tuple[int, str]], most: Reduction
) -> tuple[int, Scaled] | None:
    """Image ``number``, or the first readable one after it; None if `CONSECUTIVE` cannot be read.

    It may be smaller by ``most``. What was passed over is added to ``bad``.

    The substitute depends on the data alone, so it is the same in every process and after a resume.
    """
    for candidate in range(number, number + CONSECUTIVE):
        try:
            return candidate % len(source), source.scaled(candidate % len(source), most)
        except Unreadable as error:
            bad.append((candidate % len(source), str(error)))
    return None


def check_share(bad: int, of: int, most: float, example: str) -> None:
    """Raises `UsageError` when more than the permitted share cannot be read."""
    if bad > most * of:
        raise UsageError(
            f"{bad} of {of} images cannot be read, more than the permitted share of {most:g} (--max-unreadable): "
            f"{example}; {SCAN}"
        )


def none_readable(source: Source, tried: str) -> UsageError:
    """What is said where not one of so many images can be read, with the first one's reason."""
    reason, hint = "", SCAN
    try:
        source.image(0)
    except Unreadable as error:
        reason = f", the first, {source.name(0)}: {error}"
        if isinstance(error, OtherChannels):
            hint = "pretrain --weights adapts these weights to images with other channels"
    return UsageError(f"not one of {tried} can be read{reason}; {hint}")
