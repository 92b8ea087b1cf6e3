"""metrics.jsonl: exactly one line of JSON for every step of a run."""

import json
import os
from pathlib import Path
from typing import Any

from twofold import files

Row = dict[str, Any]
"""What is recorded of one step."""


class Metrics:
    """metrics.jsonl: exactly one line for every step, also over resumes."""

    def __init__(self, path: Path, resume_at: int) -> None:
        """Open for appending; lines of step ``resume_at`` and later, and a line cut short by a kill, are dropped."""
        if path.exists():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step(line) < resume_at]
            files.write_text(path, "".join(line + "\n" for line in kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed on exit

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Have every line on the disk, before a checkpoint that counts on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def read_metrics(path: Path) -> list[Row]:
    """The lines of a metrics.jsonl, without one that is still being written."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def first_metrics(path: Path) -> Row:
    """The first line of a metrics.jsonl, which has the run's yardsticks; nothing if there is none."""
    with open(path, encoding="utf-8") as file:
        line = file.readline()
    return json.loads(line) if _step(line) == 0 else {}
