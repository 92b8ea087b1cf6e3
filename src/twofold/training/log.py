"""What a run says: sentences on the terminal and in log.txt, and the progress bar."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from twofold import dist
from twofold.encoding.progress import silent
from twofold.evaluation.titles import BEGINNINGS
from twofold.storage import files
from twofold.storage.names import clean

SILENCE = 10.0
"""seconds between two lines of progress where there is no terminal"""


class Log:
    """Sentences for a person: on the terminal, and with the time in log.txt once there is a run directory."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console
        self._file: TextIO | None = None
        self._early: list[str] = []

    @contextmanager
    def to(self, path: Path) -> Iterator[None]:
        """Write to ``path`` inside the block, first what was said before."""
        with files.saying(path):
            file = open(path, "a", encoding="utf-8", errors="backslashreplace", opener=files.regular)  # noqa: SIM115
        try:
            self._path, self._file = path, file
            self._write("".join(self._early))
            self._early.clear()
            yield
        finally:
            self._file = None
            with suppress(OSError):  # every line was written before, or its failure was said
                file.close()

    def _write(self, text: str) -> None:
        assert self._file is not None
        with files.saying(self._path):
            self._file.write(text)
            self._file.flush()

    def say(self, text: str, *, quiet: bool = False) -> None:
        """Log a sentence, which stays in one line; ``quiet`` keeps it off the terminal."""
        text = clean(text)
        line = f"{datetime.now().isoformat(' ', 'seconds')}  {text}\n"
        if self._file:
            self._write(line)
        else:
            self._early.append(line)
        if self.console and not quiet:
            show(self.console, text)


class Bar:
    """The progress of a run: on a terminal a bar, elsewhere a line every ten seconds."""

    def __init__(self, console: Console | None, steps: int, done: int) -> None:
        self._console, self._steps, self._last = console, steps, time.monotonic()
        self._progress: Progress | None = None
        if console and console.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(bar_width=16), _Status()]
            clocks = [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(compact=True)]
            self._progress = Progress(*columns, *clocks, console=console, refresh_per_second=4)
            self._task = self._progress.add_task("", total=steps, completed=done, status="")

    def update(self, step: int, head: str, parts: Sequence[str], left: float) -> None:
        """Show that ``step`` steps are done; ``left`` is the estimated number of seconds to go."""
        if self._progress:
            self._progress.update(self._task, completed=step, description=head, status="  ".join(parts))
        elif self._console and (time.monotonic() - self._last > SILENCE or step == self._steps):
            self._last = time.monotonic()
            show(self._console, "  ".join([head, *parts, f"{duration(left)} left"]))

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            with suppress(OSError):  # the terminal may be closed
                self._progress.stop()


def status(
    loss: float, terms: dict[str, float], yardsticks: dict[str, float | None], speed: dict[str, float]
) -> list[str]:
    """What the bar says of a step: every score beside its yardstick."""
    parts = [f"loss {loss:.3f} (collapsed {yardsticks['collapsed']:.3f})"]
    if len(terms) > 1:
        parts += [f"{name} {value:.3f}" for name, value in terms.items()]
    if yardsticks["knn"] is not None:
        known = [(who, yardsticks.get(who)) for who in BEGINNINGS]
        beside = ", ".join(f"{who} {score:.1%}" for who, score in known if score is not None)
        parts.append(f"kNN {yardsticks['knn']:.1%}" + (f" ({beside})" if beside else ""))
    return [*parts, f"{speed['images_per_second']:.0f} images/s", f"waiting {speed['waiting']:.0%}"]


class _Status(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["status"])


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``5 h 02 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on stderr, told by (what, done, of): on a terminal a bar, elsewhere a line every ten seconds.

    Of several processes the first one tells of its own share.
    """
    if dist.rank() > 0:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    console = terminal()
    last = time.monotonic()

    def line(what: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > SILENCE:
            last = time.monotonic()
            show(console, f"{what}: {done} of {of}")

    if not console.is_terminal:
        yield line
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def show(console: Console, text: str) -> None:
    """Print a line as it is. A terminal that has been closed is no reason to stop what goes on."""
    with suppress(OSError):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def terminal() -> Console:
    """The console for people; on stderr, so that results on stdout can be piped."""
    return Console(file=sys.stderr)
