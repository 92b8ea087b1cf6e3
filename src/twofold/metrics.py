"""metrics.jsonl: exactly one line of JSON for every step of a run."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from twofold.storage import files

Row = dict[str, Any]
"""What is recorded of one step."""


class Metrics:
    """metrics.jsonl: exactly one line for every step, also over resumes."""

    def __init__(self, path: Path, resume_at: int) -> None:
        """Open for appending; lines of step ``resume_at`` and later, and a line cut short by a kill, are dropped."""
        self.path = path
        if path.exists():
            kept = [line for line in _lines(path) if _step(line) < resume_at]
            files.write_text(path, "".join(line + "\n" for line in kept))
        with files.saying(path):
            self._file = open(path, "a", encoding="utf-8", opener=files.regular)  # noqa: SIM115 - closed on exit

    def write(self, row: Row) -> None:
        with files.saying(self.path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Have every line on the disk, before a checkpoint that counts on them."""
        with files.saying(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with suppress(OSError):  # every line was written before, or its failure was said
            self._file.close()


def _lines(path: Path) -> list[str]:
    """The lines of a file. What is no UTF-8, as damage may leave it, is in no line of metrics."""
    with files.saying(path, "read"):
        return path.read_text(encoding="utf-8", errors="replace").split("\n")


def _step(line: str) -> float:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
    return step if type(step) is int else float("inf")


def read_metrics(path: Path) -> list[Row]:
    """The lines of a metrics.jsonl, without one that is still being written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in _lines(path) if _step(line) < float("inf")]


def first_metrics(path: Path) -> Row:
    """The first line of a metrics.jsonl, which has the run's yardsticks; nothing if there is none."""
    line = (_lines(path) if path.exists() else [""])[0]
    return json.loads(line) if _step(line) == 0 else {}


def gaps(path: Path, start: int) -> list[str]:
    """What there is to say of steps before ``start`` that a metrics.jsonl lacks, as where it was cut or damaged."""
    had = {row["step"] for row in read_metrics(path)}
    missing = [step for step in range(start) if step not in had]
    if not missing:
        return []
    count = f"{len(missing)} of the {start} steps that are done"
    return [f"{path} lacks {count}, the first {missing[0]}: curves and findings do without them"]
