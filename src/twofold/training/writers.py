"""Where a run's metrics go: metrics.jsonl always, TensorBoard and Weights & Biases when asked for.

metrics.jsonl is the one that a resumed run trusts. The others are made to agree with it: what they have of steps that
are computed again is dropped (TensorBoard) or kept as it is the same (Weights & Biases); what they lack of earlier
steps is copied to them.
"""

import importlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import settings_of
from twofold.storage import files
from twofold.storage.metrics import Metrics, Row, read_metrics


class Writer(Protocol):
    """Takes one row a step: ``step``, numbers by name, and maybe a dict of numbers, ``measures``."""

    def write(self, row: Row) -> None: ...

    def sync(self) -> None:
        """Have every row where a kill does not reach it, before a checkpoint that counts on them."""

    def close(self) -> None: ...


class TensorBoard:
    """RUN/tensorboard, for `tensorboard --logdir RUN`: a scalar a number, in float32 as TensorBoard has them."""

    PACKAGE = "torch.utils.tensorboard"

    def __init__(self, settings: Recipe, folder: Path, start: int) -> None:
        past = [] if (folder / "tensorboard").exists() else read_metrics(folder / "metrics.jsonl")
        board = importlib.import_module(self.PACKAGE)
        self._board = board.SummaryWriter(str(folder / "tensorboard"), purge_step=start)
        for row in past:
            self.write(row)

    def write(self, row: Row) -> None:
        for name, value in numbers(row).items():
            self._board.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        self._board.flush()

    def close(self) -> None:
        self._board.close()


class WeightsAndBiases:
    """A W&B run of the project ``$WANDB_PROJECT``, or twofold; its files are in RUN/wandb.

    RUN/wandb/id names it, so that a resumed run goes on in it; one that begins anew, having no checkpoint, is another.
    W&B takes no step twice: rows that it has are not sent again. Offline (``WANDB_MODE=offline``) it cannot know what
    it has, so every resume makes a folder with the whole history, and `wandb sync` of the last one is all there is.
    """

    PACKAGE = "wandb"

    def __init__(self, settings: Recipe, folder: Path, start: int) -> None:
        wandb = importlib.import_module(self.PACKAGE)
        name = folder / "wandb" / "id"
        name.parent.mkdir(exist_ok=True)
        if start == 0 or not name.exists():
            files.write_text(name, secrets.token_hex(5))
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "twofold"),
                id=name.read_text(),
                name=os.environ.get("WANDB_NAME", folder.resolve().name),
                dir=str(folder),
                config=settings_of(settings),
                resume="allow",
                settings=wandb.Settings(console="off"),
            )
        except wandb.Error as error:
            raise UsageError(f"Weights & Biases: {' '.join(str(error).split())}") from None
        self._next = self._run.starting_step
        for row in read_metrics(folder / "metrics.jsonl"):
            self.write(row)

    def write(self, row: Row) -> None:
        if row["step"] >= self._next:
            self._run.log(numbers(row), step=row["step"])

    def sync(self) -> None:
        """Nothing: what a kill loses here is copied from metrics.jsonl."""

    def close(self) -> None:
        self._run.finish()


TABLE: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""Also the names of the extras that install what they need."""


def numbers(row: Row) -> dict[str, float]:
    """A row's numbers, those of a nested dict as DICT/NAME; not the step, nor anything that is no number."""
    nested = {
        f"{outer}/{name}": value
        for outer, inner in row.items()
        if isinstance(inner, dict)
        for name, value in inner.items()
    }
    flat = {name: value for name, value in row.items() if name != "step"} | nested
    return {k: v for k, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def check(wanted: str) -> list[str]:
    """The names in a list with commas.

    Raises:
        UsageError: if there is no writer of that name, or what it needs is not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    for name in names:
        if name not in TABLE:
            raise UsageError(f"there is no writer {name!r}{did_you_mean(name, TABLE)} (tensorboard, wandb)")
        try:
            importlib.import_module(TABLE[name].PACKAGE)
        except ImportError as error:
            raise UsageError(f"writers {name} needs more packages, pip install 'twofold[{name}]' ({error})") from None
    return names


class Several:
    """One writer that is several."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def write(self, row: Row) -> None:
        for writer in self._writers:
            writer.write(row)

    def sync(self) -> None:
        for writer in self._writers:
            writer.sync()


@contextmanager
def opened(settings: Recipe, folder: Path, start: int, steps: int) -> Iterator[Several]:
    """The writers of a run that goes on at step ``start``, metrics.jsonl first; a finished run has no other."""
    with ExitStack() as stack:
        writers: list[Writer] = [Metrics(folder / "metrics.jsonl", start)]
        stack.callback(writers[0].close)
        for name in check(settings.writers) if start < steps else ():
            writers.append(TABLE[name](settings, folder, start))
            stack.callback(writers[-1].close)
        yield Several(writers)
