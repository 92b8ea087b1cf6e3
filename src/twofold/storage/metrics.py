"""metrics.jsonl: exactly one line of JSON for every step of a run, with a checksum of its own."""

import json
import os
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twofold.storage import files

Row = dict[str, Any]
"""What is recorded of one step."""
SEALED = re.compile(r'(\{.*), "crc32": "([0-9a-f]{8})"\}')
"""A line with the CRC-32 of what precedes it."""


class Metrics:
    """metrics.jsonl: exactly one line for every step, also over resumes."""

    def __init__(self, path: Path, resume_at: int) -> None:
        """Open for appending; lines of step ``resume_at`` and later, and those that are cut or damaged, are dropped."""
        self.path = path
        if path.exists():
            kept = [row for row in read_metrics(path) if row["step"] < resume_at]
            files.write_text(path, "".join(map(sealed, kept)))
        with files.saying(path):
            self._file = open(path, "a", encoding="utf-8", opener=files.regular)  # noqa: SIM115 - closed on exit

    def write(self, row: Row) -> None:
        with files.saying(self.path):
            self._file.write(sealed(row))
            self._file.flush()

    def sync(self) -> None:
        """Have every line on the disk, before a checkpoint that counts on them."""
        with files.saying(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with suppress(OSError):  # every line was written before, or its failure was said
            self._file.close()


def sealed(row: Row) -> str:
    """The line of a row, with its checksum."""
    text = json.dumps(row).removesuffix("}")
    return f'{text}, "crc32": "{zlib.crc32(text.encode()):08x}"}}\n'


def _lines(path: Path) -> list[str]:
    """The lines of a file. What is no UTF-8, as damage may leave it, is in no line of metrics."""
    with files.saying(path, "read"):
        return path.read_text(encoding="utf-8", errors="replace").split("\n")


def _row(line: str) -> Row | None:
    """The row of a line; None if it is cut or damaged. Lines without a checksum, as others write them, are rows too."""
    if found := SEALED.fullmatch(line):
        if zlib.crc32(found[1].encode()) != int(found[2], 16):
            return None
        line = found[1] + "}"
    try:
        row = json.loads(line)
        return row if type(row["step"]) is int else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _rows(path: Path) -> list[Row | None]:
    """A row a line. Where one line has a checksum, those without are damaged."""
    lines = _lines(path) if path.exists() else []
    strict = any(SEALED.fullmatch(line) for line in lines)
    return [None if strict and not SEALED.fullmatch(line) else _row(line) for line in lines]


def read_metrics(path: Path, tell: Callable[[str], object] = lambda _: None) -> list[Row]:
    """The rows of a metrics.jsonl, without lines that are damaged and one that is still being written.

    ``tell`` is told how many are damaged, if any are.
    """
    rows = _rows(path)
    wrong = [number for number, row in enumerate(rows[:-1], 1) if row is None]
    if wrong:
        tell(f"{path} is damaged in {len(wrong)} of its lines, the first {wrong[0]}: they are left out")
    return [row for row in rows if row is not None]


def first_metrics(path: Path) -> Row:
    """The first row of a metrics.jsonl, which has the run's yardsticks; nothing if there is none, or it is damaged."""
    row = next(iter(_rows(path)), None)
    return row if row and row["step"] == 0 else {}


def gaps(path: Path, start: int) -> list[str]:
    """What there is to say of steps before ``start`` that a metrics.jsonl lacks, as where it was cut or damaged."""
    had = {row["step"] for row in read_metrics(path)}
    missing = [step for step in range(start) if step not in had]
    if not missing:
        return []
    count = f"{len(missing)} of the {start} steps that are done"
    return [f"{path} lacks {count}, the first {missing[0]}: curves and findings do without them"]
