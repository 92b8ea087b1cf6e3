"""The rows of tables in text files, with the separators and encodings that people and spreadsheets write them in."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from twofold.data import bounds
from twofold.errors import UsageError

SEPARATORS = ("\t", ";", ",")

Rows = Sequence[Sequence[str]]


def read(file: Path, shown: str, paths: Iterable[str]) -> tuple[Rows, str]:
    """The rows of a table that names files, all of one length, and what is to be said of its encoding.

    The first row has the columns' names; empty rows are left out.

    Args:
        file: the table.
        shown: its name for messages.
        paths: the files that it may name. Bytes that are not UTF-8 are kept if it names a file with such bytes; else
            the lines that have some are taken for Windows-1252, which spreadsheets in Western Europe and America write.

    Raises:
        UsageError: if it cannot be read, or has no two rows.
    """
    text, said = _text(file, shown, paths)
    return _rows(text, shown), said


def _text(file: Path, shown: str, paths: Iterable[str]) -> tuple[str, str]:
    try:
        content = bounds.read_file(file)
        if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):  # as spreadsheets write "Unicode text"
            return content.decode("utf-16"), ""
        text = content.decode("utf-8-sig", "surrogateescape")
    except (OSError, bounds.Refused, UnicodeError) as error:
        raise UsageError(f"{shown} cannot be read as a table: {getattr(error, 'strerror', None) or error}") from None
    strange = (PurePosixPath(path).stem for path in paths if not _is_unicode(path))
    if _is_unicode(text) or any(name in text for name in strange):
        return text, ""
    lines = (line if _is_unicode(line) else _windows(line) for line in text.split("\n"))
    return "\n".join(lines), " (read as Windows-1252 where it is not UTF-8)"


def _windows(line: str) -> str:
    return line.encode("utf-8", "surrogateescape").decode("cp1252", "surrogateescape")


def _is_unicode(text: str) -> bool:
    """Whether it has none of the characters that stand for bytes that are not UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _rows(text: str, shown: str) -> Rows:
    text = re.sub(r"\Asep=.\r?\n", "", text)  # a line for spreadsheets
    first = text.lstrip().partition("\n")[0]
    used = sorted((separator for separator in SEPARATORS if separator in first), key=first.count)
    found: list[Rows] = []
    refused = ""
    for separator in used or SEPARATORS[-1:]:
        try:
            found.append(_separated(text, separator))
        except (csv.Error, ValueError) as error:
            refused = str(error)
    if not found:
        raise UsageError(f"{shown} cannot be read as a table: {refused}")
    rows = max(found, key=lambda rows: len(rows[0]) if rows else 0)
    if len(rows) < 2:
        raise UsageError(f"{shown} is no table: it has a row of names and one for each image at least")
    return rows


def _separated(text: str, separator: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    for read in reader:
        row = [value.strip() for value in read]
        width = len(rows[0]) if rows else len(row)
        if (len(row) < width and any(row)) or any(row[width:]):
            raise ValueError(f"line {reader.line_num} has {len(row)} values, and the first one has {width}")
        if any(row):
            rows.append(row[:width])
    return rows
