"""A table that says which image files there are, what their labels are, and which of them are for testing.

It is a text file, ``.csv`` or ``.tsv``, in the folder of the images or in one above that. Its values are separated by
commas, semicolons or tabs, and its first row names the columns:

- The column of files is the one whose values name most images: by their paths, or only by the end of these, with or
  without the ending of the file. No name below the table's folder may be meant twice.
- The column of labels is called ``label``, ``labels``, ``fine_label`` or ``class``. If there is only one column beside
  those of files and parts, and a value occurs twice in it, its name does not matter.
- A column called ``split``, ``part``, ``set``, ``subset`` or ``partition`` says which images are for training and which
  for testing, by the names that folders have for that (`twofold.data.folders`).
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from twofold.data import bounds
from twofold.data.compact import Numbers
from twofold.data.encoded import LABELS, Files, Folder
from twofold.data.folders import TEST, TRAIN
from twofold.data.sources import number
from twofold.errors import UsageError
from twofold.storage.names import escaped, unescaped

PARTS = ("split", "part", "set", "subset", "partition")
"""Names that a column of parts has, in any case."""
SEPARATORS = ",;\t"
TRIED = 1000
"""So many rows say which column holds the files."""


@dataclass(frozen=True)
class Row:
    """An image of a table; ``label`` and ``part`` are empty where the table has none."""

    path: str
    label: str
    part: str


def open_table(file: Path) -> tuple[Files, Files | None, tuple[str, ...]]:
    """The training images, the test images if the table has some, and what is to be said of what is left out.

    Raises:
        UsageError: if it cannot be read, or names no image.
    """
    columns, cells = _read(file)
    folder = _folder_of(cells, file.parent)
    above = folder.root.relative_to(file.parent)
    paths = [str(above / path) for path in folder.paths]
    masks = {str(above / path): mask for path, mask in folder.masks.items()}
    images = _Images(paths)
    shown = escaped(str(file))
    column = _column_of_files(cells, images)
    if column is None:
        raise UsageError(
            f"no column of {shown} names images in {escaped(str(folder.root))} (columns: {_listed(columns)}): a table "
            "lies in the folder of its images or in one above it"
        )
    if images.named(columns[column]) is not None:
        raise UsageError(f"the first row of {shown} must name its columns, and not an image: {_listed(columns)}")
    label, part = _columns_beside(columns, column, cells)
    notes = [*folder.closed]
    rows: dict[int, Row] = {}
    missed, again = [], 0
    for row in cells:
        found = images.named(row[column])
        if found is None:
            missed.append(row[column])
        elif found in rows:
            again += 1
        else:
            texts = ("" if place is None else row[place].strip() for place in (label, part))
            rows[found] = Row(paths[found], *texts)
    if missed:
        notes.append(f"{len(missed)} of {len(cells)} rows of {shown} name no image, as the first: {escaped(missed[0])}")
    if again:
        notes.append(f"{again} of {len(cells)} rows of {shown} name an image again and are left out")
    if len(rows) < len(paths):
        notes.append(f"{len(paths) - len(rows)} of {len(paths)} images are not named in {shown} and are left out")
    if label is None:
        notes.append(f"no column of {shown} is called label, so no image has one (columns: {_listed(columns)})")
    train, test, left = _parts(list(rows.values()))
    notes += left
    parts = [_labelled(Files([row.path for row in part], file.parent, masks), part) for part in (train, test)]
    return parts[0], parts[1] if test else None, tuple(notes)


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    """The columns' names, and the other rows, each with as many values; empty rows are left out."""
    try:
        text = bounds.read_file(file).decode("utf-8-sig", "surrogateescape")
        first = text.partition("\n")[0]
        separator = max(SEPARATORS, key=first.count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    except (OSError, bounds.Refused, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{escaped(str(file))} cannot be read as a table: {reason}") from None
    if len(rows) < 2:
        raise UsageError(f"{escaped(str(file))} is no table: it has a row of names and one for each image at least")
    width = len(rows[0])
    return [name.strip() for name in rows[0]], [(row + [""] * width)[:width] for row in rows[1:]]


def _folder_of(cells: Sequence[Sequence[str]], root: Path) -> Folder:
    """The folder that the files lie in, which need not be the whole of the one that the table lies in."""
    for column in zip(*cells, strict=True):
        paths = [PurePosixPath(text) for text in column]
        inside = all(path.parts and not path.is_absolute() and ".." not in path.parts for path in paths)
        # Path.is_file raises for a name that is too long
        if inside and all(os.path.isfile(root / path) for path in paths):  # noqa: PTH113
            return Folder(root / os.path.commonpath([path.parent for path in paths]))
    return Folder(root)


class _Images:
    """Files of a folder by what a table may call them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [PurePosixPath(path) for path in paths]
        self._called: dict[str, list[int]] = {}
        for place, path in enumerate(self._paths):
            for name in {path.name, path.stem}:
                self._called.setdefault(name, []).append(place)

    def named(self, text: str) -> int | None:
        """The number of the only file that a text stands for: its path, or one that ends or goes on as the other does.

        None if there is no such file, or several.
        """
        for written in (text, text.strip(), unescaped(text), text.strip().replace("\\", "/")):
            name = PurePosixPath(written)
            found = [place for place in self._called.get(name.name, ()) if _fit(name, self._paths[place])]
            if len(found) == 1:
                return found[0]
        return None


def _fit(name: PurePosixPath, path: PurePosixPath) -> bool:
    """Are these the same from the file's own name on upwards, as far as both go?"""
    return all(a == b for a, b in zip(name.parent.parts[::-1], path.parent.parts[::-1], strict=False))


def _column_of_files(cells: Sequence[Sequence[str]], images: _Images) -> int | None:
    """The number of the column whose values name most images, the longest of these; None if none does."""
    columns = list(zip(*cells[:TRIED], strict=True))
    named = [len({images.named(text) for text in column} - {None}) for column in columns]
    best = max(range(len(columns)), key=lambda place: (named[place], sum(map(len, columns[place]))))
    return best if named[best] else None


def _columns_beside(
    columns: Sequence[str], files: int, cells: Sequence[Sequence[str]]
) -> tuple[int | None, int | None]:
    """The numbers of the columns of labels and of parts."""
    small = [name.lower() if place != files else "" for place, name in enumerate(columns)]
    label, part = (next((small.index(name) for name in names if name in small), None) for names in (LABELS, PARTS))
    rest = [place for place in range(len(columns)) if place not in (files, part)]
    if label is None and len(rest) == 1:
        occurring = Counter(row[rest[0]] for row in cells)
        label = rest[0] if max(occurring.values()) > 1 else None
    return label, part


def _parts(rows: list[Row]) -> tuple[list[Row], list[Row], list[str]]:
    """The training rows, the test rows, and what is said of others; all are for training if none are for testing."""
    by_part: dict[str, list[Row]] = {}
    for row in rows:
        by_part.setdefault(row.part.lower(), []).append(row)
    trains = [by_part[name] for name in TRAIN if name in by_part]
    tests = [by_part[name] for name in TEST if name in by_part]
    if not (trains and tests):
        return rows, [], []
    train = trains[0]
    known = (test for test in tests if all(row.label for row in test))
    test = next(known, tests[0])
    left = {name: len(those) for name, those in by_part.items() if those is not train and those is not test}
    each = ", ".join(f"{escaped(name) or 'none'} {count}" for name, count in left.items())
    return train, test, [f"images of other parts are left out ({each})"] if left else []


def _labelled(source: Files, rows: Sequence[Row]) -> Files:
    """The images with the labels of their rows, if each has one."""
    without = [row.path for row in rows if not row.label]
    if rows and not without:
        labels, source.classes = number([escaped(row.label) for row in rows])
        source.labels = Numbers(labels)
    elif len(without) < len(rows):
        source.notes = (
            f"no image has a label: {len(without)} of {len(rows)} rows have none ({escaped(without[0])}), and all must "
            "have one",
        )
    return source


def _listed(columns: Sequence[str]) -> str:
    return escaped(", ".join(columns))[:200]
