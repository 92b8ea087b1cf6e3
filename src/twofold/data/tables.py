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
- A column called ``group``, unless it is the one with the labels, says which images belong together, as those of one
  patient or of one place, so that none of them is for training and another one for testing.

``NA`` and what else programs write for a value that is missing is no label, no part and no group.

What would have to be guessed is refused.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twofold.data import spreadsheet
from twofold.data.calling import Names, composed
from twofold.data.compact import Coded, Numbers, Texts
from twofold.data.encoded import LABELS, Files, Folder
from twofold.data.folders import PARTS, parts_of_rows
from twofold.data.paths import has_ending, root_of, within
from twofold.data.sources import number
from twofold.data.spreadsheet import Rows
from twofold.errors import UsageError
from twofold.storage.names import clean, escaped

FILES = ("path", "file_name")
"""Names that the column of files has, in any case, if it is to be found by its name."""
GROUPS = ("group", "groups")
"""Names that a column of groups has, in any case."""
NONE = frozenset({"NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null"})
"""What programs for tables write where there is no label or part."""


@dataclass(frozen=True)
class Image:
    """What a row says of an image; ``label``, ``part`` and ``group`` are empty where the table has none."""

    path: str
    label: str
    part: str
    group: str


def open_table(file: Path) -> tuple[Files, Files | None, tuple[str, ...]]:
    """The training images, the test images if the table has some, and what is to be said of it.

    Raises:
        UsageError: if it cannot be read, names no image, or could be understood in several ways.
    """
    shown = escaped(str(file))
    folder, here = Folder(file.parent), Path(os.path.normpath(file.parent.absolute()))
    (columns, *written), encoding = spreadsheet.read(file, shown, folder.paths)
    names = Names(folder.paths)
    if led_out := _leading_out(columns, written, here, names, shown):
        files, root = led_out
        rows = [[*row[:files], within(root, here, row[files]), *row[files + 1 :]] for row in written]
        folder = Folder(root)
        names = Names(folder.paths)
    else:
        rows = [[within(here, here, text) for text in row] for row in written]
        files = _column_of_files(columns, rows, names, folder, shown)
    label, part, group = _columns_beside(files, columns, rows)
    images, without = _images(rows, (files, label, part, group), names, folder, shown)
    missed = [written[number][files] for number in without]
    coded = Coded()
    of = coded.of(image.part for image in images)
    labelled = np.array([bool(image.label) for image in images])
    train, test, others = parts_of_rows(coded.texts, of, labelled, "" if part is None else columns[part])
    named = [("files", files), ("labels", label), ("parts", part), ("groups", group)]
    said = ", ".join(f"{what} in column {_short(columns[place])}" for what, place in named if place is not None)
    led = f"; its images are in {escaped(str(folder.root))}" if led_out else ""
    notes = [f"{shown}{encoding} has {said}{led}", *others]
    if label is not None and (nones := sorted({row[label] for row in rows} & NONE)):
        notes.append(f"{_listed(nones)} in column {_short(columns[label])} is taken for no label")
    if label is None:
        notes.append(f"no column of {shown} is called label, so no image has one (columns: {_listed(columns)})")
    if missed:
        notes.append(f"{len(missed)} of {len(rows)} rows of {shown} name no image, as the first: {_short(missed[0])}")
    if unnamed := len(folder) - len(images):
        notes.append(f"{unnamed} of {len(folder)} images are not named in {shown} and are left out")
    sources = [_labelled([images[row] for row in part], folder) for part in (train, test)]
    sources[0].missing = missed
    return sources[0], sources[1] if len(test) else None, (*folder.closed, *notes)


def _leading_out(columns: Sequence[str], rows: Rows, here: Path, names: Names, shown: str) -> tuple[int, Path] | None:
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


def _column_of_files(columns: Sequence[str], rows: Rows, names: Names, folder: Folder, shown: str) -> int:
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


def _columns_beside(files: int, columns: Sequence[str], rows: Rows) -> tuple[int | None, int | None, int | None]:
    """The numbers of the columns of labels, of parts and of groups."""
    small = [name.lower() if place != files else "" for place, name in enumerate(columns)]
    label, part, group = (
        next((small.index(name) for name in names if name in small), None) for names in (LABELS, PARTS, GROUPS)
    )
    rest = [place for place, name in enumerate(small) if name and place not in (part, group)]
    if label is None and len(rest) == 1 and max(Counter(row[rest[0]] for row in rows).values()) > 1:
        label = rest[0]
    if label is None and not rest:  # the only one beside the files and the parts
        label, group = group, None
    return label, part, group


def _images(
    rows: Rows, places: tuple[int, int | None, int | None, int | None], names: Names, folder: Folder, shown: str
) -> tuple[list[Image], list[int]]:
    """The images that rows name, each once, and the numbers of the rows that name none.

    Raises:
        UsageError: if rows contradict each other, or lie in several folders that could be this one.
    """
    files, *beside = places
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
        told = ("" if column is None or row[column] in NONE else composed(row[column]) for column in beside)
        image = Image(folder.paths[place], *told)
        if found.setdefault(place, image) != image:
            raise UsageError(
                f"{shown} has rows with different labels, parts or groups for one image, {_short(image.path)}"
            )
    if len(beginnings) > 1:
        raise UsageError(
            f"paths in {shown} begin with different folders, so some may mean images elsewhere, as "
            f"{_listed(beginnings.values())}"
        )
    return list(found.values()), missed


def _labelled(images: Sequence[Image], folder: Folder) -> Files:
    """The images with their labels, if each has one, and with their groups, if the table has some."""
    source = Files((image.path for image in images), folder.root, folder.masks)
    if any(image.group for image in images):
        source.groups = Texts(image.group for image in images)
    without = [image.path for image in images if not image.label]
    if images and not without:
        labels, source.classes = number([clean(image.label) for image in images])
        source.labels = Numbers(labels)
    elif len(without) < len(images):
        source.some_labels = {place: clean(image.label) for place, image in enumerate(images) if image.label}
        source.notes = (
            f"{len(without)} of {len(images)} images have no label, as {_short(without[0])}: scores leave them out",
        )
    return source


def _short(text: str) -> str:
    return escaped(text[:80])


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(_short, texts))[:300]
