"""A table that says which image files there are, what their labels are, and which of them are for testing.

It is a text file, ``.csv`` or ``.tsv``. The images are in its folder or in folders in that, or where the paths in its
rows lead, from its folder or from the root. Its values are separated by commas, semicolons or tabs, and its first row
names the columns:

- The column of files is called ``path`` or ``file_name``. Otherwise it is the only one that names images, of columns
  whose values mostly end as images do, or occur once each. Whole numbers name images only where no values end so. A
  value is the path of a file, or the end of a path if only one file has that, with or without the file's ending. The
  first folders of paths may be others than on this machine, if they are the same ones in all rows.
- The column of labels is called ``label``, ``labels``, ``fine_label`` or ``class``. If there is only one other column
  beside those of files and parts, and a value occurs twice in it, its name does not matter.
- A column called ``split``, ``part``, ``set``, ``subset`` or ``partition`` says which images are for training and which
  for testing, by the names that folders have for that (`twofold.data.folders`).

What would have to be guessed is refused.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from twofold.data import spreadsheet
from twofold.data.compact import Coded, Numbers
from twofold.data.encoded import LABELS, Files, Folder
from twofold.data.folders import PARTS, parts_of_rows
from twofold.data.paths import has_ending, root_of, within
from twofold.data.sources import number
from twofold.data.spreadsheet import Rows
from twofold.errors import UsageError
from twofold.storage.names import clean, escaped, unescaped

FILES = ("path", "file_name")
"""Names that the column of files has, in any case, if it is to be found by its name."""
SEVERAL = -1
"""Stands for the number of an image where a text could mean several."""


@dataclass(frozen=True)
class Image:
    """What a row says of an image; ``label`` and ``part`` are empty where the table has none."""

    path: str
    label: str
    part: str


def open_table(file: Path) -> tuple[Files, Files | None, tuple[str, ...]]:
    """The training images, the test images if the table has some, and what is to be said of it.

    Raises:
        UsageError: if it cannot be read, names no image, or could be understood in several ways.
    """
    shown = escaped(str(file))
    folder, here = Folder(file.parent), Path(os.path.normpath(file.parent.absolute()))
    (columns, *written), encoding = spreadsheet.read(file, shown, folder.paths)
    names = _Names(folder.paths)
    if led_out := _leading_out(columns, written, here, names, shown):
        files, root = led_out
        rows = [[*row[:files], within(root, here, row[files]), *row[files + 1 :]] for row in written]
        folder = Folder(root)
        names = _Names(folder.paths)
    else:
        rows = [[within(here, here, text) for text in row] for row in written]
        files = _column_of_files(columns, rows, names, folder, shown)
    label, part = _columns_beside(files, columns, rows)
    images, without = _images(rows, (files, label, part), names, folder, shown)
    missed = [written[number][files] for number in without]
    coded = Coded()
    of = coded.of(image.part for image in images)
    train, test, others = parts_of_rows(coded.texts, of, np.array([bool(image.label) for image in images]))
    named = [("files", files), ("labels", label), ("parts", part)]
    said = ", ".join(f"{what} in column {_short(columns[place])}" for what, place in named if place is not None)
    led = f"; its images are in {escaped(str(folder.root))}" if led_out else ""
    notes = [f"{shown}{encoding} has {said}{led}", *others]
    if label is None:
        notes.append(f"no column of {shown} is called label, so no image has one (columns: {_listed(columns)})")
    if missed:
        notes.append(f"{len(missed)} of {len(rows)} rows of {shown} name no image, as the first: {_short(missed[0])}")
    if unnamed := len(folder) - len(images):
        notes.append(f"{unnamed} of {len(folder)} images are not named in {shown} and are left out")
    sources = [_labelled([images[row] for row in part], folder) for part in (train, test)]
    sources[0].missing = missed
    return sources[0], sources[1] if len(test) else None, (*folder.closed, *notes)


class _Found(NamedTuple):
    """The number of a file that a text names, and by what.

    ``beginning``: the first folders in the text that the file's path lacks; ``placed``: whether the text has folders;
    ``end``: whether the file's path has first folders that the text lacks.
    """

    place: int
    beginning: str
    placed: bool
    end: bool


class _Names:
    """Image files by what a table may call them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [path.split("/") for path in paths]

    @cached_property
    def _whole(self) -> dict[str, int]:
        return _found_by((text, place) for place, path in enumerate(self._paths) for text in _keys(path))

    @cached_property
    def _ends(self) -> dict[str, int]:
        """By all ends of their paths."""
        ends = ((path[n:], place) for place, path in enumerate(self._paths) for n in range(len(path)))
        return _found_by((text, place) for end, place in ends for text in _keys(end))

    def find(self, text: str) -> "_Found | None":
        """The file that a text names; None if there is no such file, or several."""
        for written in dict.fromkeys((text, unescaped(text), text.replace("\\", "/"), _composed(text))):
            path = PurePosixPath(written).parts
            names = [_keys(path[n:])[0] for n in range(len(path))]
            for known, tried in ((self._whole, names[:1]), (self._ends, names[:1]), (self._whole, names[1:])):
                place = next((known[name] for name in tried if name in known), None)
                if place == SEVERAL:
                    return None
                if place is not None:
                    beyond = len(path) - len(self._paths[place])
                    return _Found(place, "/".join(path[: max(0, beyond)]), len(path) > 1, beyond < 0)
        return None

    def means_several(self, text: str) -> bool:
        """Whether a text is the end of the paths of several files."""
        return self._ends.get(_keys(PurePosixPath(text).parts)[0]) == SEVERAL


def _keys(path: Sequence[str]) -> tuple[str, str]:
    """A path as it is, but for an image's ending in small letters, and without its ending."""
    whole = "/".join(path)
    stem, dot, ending = whole.rpartition(".")
    if not dot or "/" in ending:
        return whole, whole
    return (f"{stem}.{ending.lower()}" if has_ending(whole) else whole), stem


def _composed(text: str) -> str:
    """A text in which letters with accents are one character each, and not two, as macOS did it in names of files."""
    return text if text.isascii() else normalize("NFC", text)


def _found_by(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What each text stands for, also where accents are written otherwise."""
    exact = _unique(pairs)
    return _unique((_composed(text), place) for text, place in exact.items()) | exact


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text, place in pairs:
        if found.setdefault(text, place) != place:
            found[text] = SEVERAL
    return found


def _leading_out(columns: Sequence[str], rows: Rows, here: Path, names: _Names, shown: str) -> tuple[int, Path] | None:
    """The number of the column of files, and the images' folder, if its paths lead out of the table's folder.

    It is the column that is called so. Otherwise it is the only one whose values mostly end as images do and lead out,
    where no such column names images in the table's folder.

    Raises:
        UsageError: if several columns could be it.
    """
    values = list(zip(*rows, strict=True))
    called = [place for place, name in enumerate(columns) if name.lower() in FILES][:1]
    tried = called or [place for place, column in enumerate(values) if _are_files(column)]
    if not called and any(names.find(text) for place in tried for text in values[place]):
        return None
    found = {place: root for place in tried if (root := root_of(here, values[place], shown))}
    if len(found) > 1:
        several = _listed(columns[place] for place in found)
        raise UsageError(f"several columns of {shown} name images ({several}): call the right one path")
    return next(iter(found.items()), None)


def _are_files(column: Sequence[str]) -> bool:
    """Whether most of some values end as images do."""
    return 2 * sum(map(has_ending, column)) > len(column)


def _column_of_files(columns: Sequence[str], rows: Rows, names: _Names, folder: Folder, shown: str) -> int:
    """The number of the column that names images.

    Raises:
        UsageError: if there is none, or several could be it.
    """
    if any(map(has_ending, columns)):
        raise UsageError(f"the first row of {shown} must name its columns, and not an image: {_listed(columns)}")
    values = list(zip(*rows, strict=True))
    called = [place for place, name in enumerate(columns) if name.lower() in FILES]
    endings = [place for place, column in enumerate(values) if _are_files(column)]
    different = [place for place, column in enumerate(values) if columns[place] and len({*column}) == len(column)]
    if endings:  # whole numbers are ages or rows then
        different = [place for place in different if not all(map(str.isdecimal, values[place]))]
    others = {place for place, name in enumerate(columns) if name.lower() in (*LABELS, *PARTS)}
    tried = called[:1] or sorted({*endings, *different} - others)
    naming = [place for place in tried if any(names.find(text) for text in values[place])]
    where = escaped(str(folder.root))
    if len(naming) > 1:
        several = _listed(columns[place] for place in naming)
        raise UsageError(f"several columns of {shown} name images in {where} ({several}): call the right one path")
    if not naming:
        told = [f"{columns[place]}, as {rows[0][place]}" for place in tried]
        there = f"; there is {_short(folder.paths[0])}" if len(folder) else "; there are no images"
        unclear = next((text for place in tried for text in values[place] if names.means_several(text)), None)
        if unclear is not None:
            there = f"; several files are called {_short(unclear)}: give their paths"
        raise UsageError(
            f"no column of {shown} names images in {where}, where it lies (columns: {_listed(told or columns)}{there})"
            + "".join(f"; {note}" for note in folder.closed)
        )
    return naming[0]


def _columns_beside(files: int, columns: Sequence[str], rows: Rows) -> tuple[int | None, int | None]:
    """The numbers of the columns of labels and of parts."""
    small = [name.lower() if place != files else "" for place, name in enumerate(columns)]
    label, part = (next((small.index(name) for name in names if name in small), None) for names in (LABELS, PARTS))
    rest = [place for place, name in enumerate(small) if name and place != part]
    if label is None and len(rest) == 1 and max(Counter(row[rest[0]] for row in rows).values()) > 1:
        label = rest[0]
    return label, part


def _images(
    rows: Rows, places: tuple[int, int | None, int | None], names: _Names, folder: Folder, shown: str
) -> tuple[list[Image], list[int]]:
    """The images that rows name, each once, and the numbers of the rows that name none.

    Raises:
        UsageError: if rows contradict each other, or lie in several folders that could be this one.
    """
    files, label, part = places
    found: dict[int, Image] = {}
    beginnings: dict[str, str] = {}
    missed = []
    meant = [names.find(row[files]) for row in rows]
    whole = any(file is not None and file.placed and not file.end for file in meant)
    for row_number, (row, file) in enumerate(zip(rows, meant, strict=True)):
        elsewhere = file is not None and whole and file.placed and file.end  # the row's own file is missing
        if file is None or elsewhere:
            missed.append(row_number)
            continue
        place = file.place
        beginnings.setdefault(file.beginning, row[files])
        told = ("" if column is None else _composed(row[column]) for column in (label, part))
        image = Image(folder.paths[place], *told)
        if found.setdefault(place, image) != image:
            raise UsageError(f"{shown} has rows with different labels or parts for one image, {_short(image.path)}")
    if len(beginnings) > 1:
        raise UsageError(
            f"paths in {shown} begin with different folders, so some may mean images elsewhere, as "
            f"{_listed(beginnings.values())}"
        )
    return list(found.values()), missed


def _labelled(images: Sequence[Image], folder: Folder) -> Files:
    """The images with their labels, if each has one."""
    source = Files((image.path for image in images), folder.root, folder.masks)
    without = [image.path for image in images if not image.label]
    if images and not without:
        labels, source.classes = number([clean(image.label) for image in images])
        source.labels = Numbers(labels)
    elif len(without) < len(images):
        source.some_labels = {place: clean(image.label) for place, image in enumerate(images) if image.label}
        source.notes = (
            f"no image has a label: all must have one, but {len(without)} of {len(images)} have none "
            f"({_short(without[0])}); where labels are needed, name a table of the labelled images alone",
        )
    return source


def _short(text: str) -> str:
    return escaped(text[:80])


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(_short, texts))[:300]
