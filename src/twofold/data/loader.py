"""Step-addressed loading: which images form step s, and their crops, are a function of (seed, s) alone.

Two ways to the same batches. `Resident` keeps every decoded image in one tensor and crops on the
device. `Streamed` decodes and crops in worker processes, for images too many or too large to keep.
"""

import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from twofold import rng
from twofold.augment import Views
from twofold.augment.pipeline import Draws, ViewPipeline
from twofold.augment.resample import resized_crop
from twofold.data.crop import Cutter, finest, stacked
from twofold.data.decode import Reduction, Scaled, Unreadable
from twofold.data.sources import Source, Subset
from twofold.data.workers import GOES_ON, begin, working
from twofold.device import send
from twofold.errors import Failed, UsageError
from twofold.nets.normalize import unit

CONSECUTIVE = 100  # unreadable images in a row before a search for a readable one gives up

Bad = Callable[[str, str], None]
"""Told the name and the reason of each unreadable image, once."""


@dataclass(frozen=True)
class Plan:
    """Which images form which step. Every epoch is a fresh permutation, cut into whole batches.

    ``neighbours``: for each image the numbers of others, int64 [images, k], one of which its second view shows; None:
    both views show the image itself.
    """

    images: int
    batch: int
    seed: int
    neighbours: Tensor | None = field(default=None, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch

    def indices(self, step: int) -> Tensor:
        """The images of one step, int64 [batch]."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return order(self.images, self.seed, epoch)(torch.arange(place * self.batch, (place + 1) * self.batch))

    def shown(self, part: "MicroBatch") -> tuple[Tensor, Tensor]:
        """The images of a part of a step, int64 [n], and those that their second views show."""
        index = self.indices(part.step)
        second = index
        if self.neighbours is not None:
            drawn = rng.generator(self.seed, "neighbour", part.step)
            second = self.neighbours[index, torch.randint(self.neighbours.shape[1], index.shape, generator=drawn)]
        return index[part.rows], second[part.rows]

    def brings_new(self, step: int) -> bool:
        """Whether a step has an image that no step before it has: all steps of the first epoch, and few after it."""
        epoch = step // self.steps_per_epoch
        if epoch == 0:
            return True
        unseen = _unseen(self.images, self.batch, self.seed, epoch)
        return len(unseen) > 0 and bool(torch.isin(self.indices(step), unseen).any())


def order(images: int, seed: int, epoch: int) -> rng.Permutation:
    """Which images an epoch shows, in which order."""
    return rng.Permutation(images, seed, ("order", epoch))


@lru_cache(maxsize=2)
def _unseen(images: int, batch: int, seed: int, epoch: int) -> Tensor:
    """The images that were left over in every epoch before this one, of which there is one at least."""
    rest = torch.arange(images // batch * batch, images)
    unseen = order(images, seed, 0)(rest)
    for earlier in range(1, epoch):
        if not len(unseen):
            break
        unseen = unseen[torch.isin(unseen, order(images, seed, earlier)(rest))]
    return unseen


@dataclass(frozen=True)
class MicroBatch:
    """The rows of a step's batch that one process computes at once."""

    step: int
    rows: slice


@dataclass
class Crops:
    """One part of a step: images' numbers and, for each view, crops as `unit` has them, on the device; draws."""

    place: MicroBatch
    index: Tensor
    crops: list[Tensor]
    draws: list[Draws]


def drawn(views: Views, plan: Plan, part: MicroBatch) -> list[tuple[ViewPipeline, Draws]]:
    """The views of a part of a step, and what is drawn for its rows.

    A whole view is always the same, so there is one only where the step has an image for the first time.
    """
    found = list(zip(views.pipelines, views.draw(part.step, plan.batch), strict=True))
    if views.whole and not plan.brings_new(part.step):
        found.pop()
    return [(view, draws.rows(part.rows)) for view, draws in found]


class Resident:
    """All images decoded in memory: [N, C, H, W] on the device, smaller ones padded, and their true sizes."""

    def __init__(self, images: Tensor, sizes: Tensor, device: torch.device) -> None:
        self.images, self.sizes, self.device = images.to(device), sizes, device

    def __len__(self) -> int:
        return len(self.images)

    def load(self, plan: Plan, views: Views, parts: Sequence[MicroBatch]) -> Generator[Crops, None, None]:
        for part in parts:
            index, second = plan.shown(part)
            kinds, wanted = drawn(views, plan, part), []
            for number, (view, draws) in enumerate(kinds):
                shown = second if number == 1 else index
                wanted += [shown, view.boxes(draws, self.sizes[shown]), draws.flip]
            there, *wanted = send([index, *wanted], self.device)
            crops = []
            for (view, _), shown, boxes, flip in zip(kinds, wanted[::3], wanted[1::3], wanted[2::3], strict=True):
                images = _rows(self.images, shown)
                crops.append(resized_crop(images, boxes, flip, view.size, view.augment.interpolation))
            yield Crops(part, there, crops, [draws for _, draws in kinds])


def _rows(images: Tensor, index: Tensor) -> Tensor:
    """Some of the images; torch need not know how to pick from uint16 numbers on every device, but from int16."""
    return images.view(torch.int16)[index].view(torch.uint16) if images.dtype == torch.uint16 else images[index]


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
            f"{example}; twofold scan lists them all"
        )


def none_readable(source: Source, tried: str) -> UsageError:
    """What is said where not one of so many images can be read, with the first one's reason."""
    try:
        source.image(0)
        reason = ""
    except Unreadable as error:
        reason = f", the first, {source.name(0)}: {error}"
    return UsageError(f"not one of {tried} can be read{reason}; twofold scan lists them all")


def sample(source: Source, most: int) -> Subset:
    """At most so many images, always the same ones, in an order that has nothing to do with the source's.

    A regular spacing would not do: where classes take turns it meets some of them only.
    """
    chosen = rng.Permutation(len(source), 0, ("sample",))(torch.arange(min(most, len(source))))
    return Subset(source, chosen.tolist())
