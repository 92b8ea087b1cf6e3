"""Which images of a folder, or rows of a table, are for training, which for testing, and which are neither."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from twofold.data.encoded import TABLES, Folder, closed_folders, files_under, is_image
from twofold.data.masks import FOLDERS, IMAGES, TRUTH, names_a_mask
from twofold.errors import UsageError
from twofold.storage.names import escaped

TRAIN = ("train", "training")
"""Names of a training part's folder, in any case."""
TEST = ("test", "testing", "val", "valid", "validation")
"""Names of a test part, in any case. It is the first that has images, and classes of the training part if there are
any."""
PARTS = ("split", "part", "set", "subset", "partition")
"""Names that a column of parts has, in any case, the likeliest first."""
NAMED = 5
"""So many parts are named where there are others than for training and testing."""


def parts_of_rows(
    parts: Sequence[str], of: np.ndarray, labelled: np.ndarray, column: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The rows to train on, those to test on, and what is to be said of the others, by the names of their parts.

    The test part is the first whose rows all have a label, else the first of which one has a label, else the first.
    Where no name is one of a training or a test part, all rows are for training, unless the column can mean nothing
    else.

    Args:
        parts: the names that occur; an empty one is none.
        of: the number of each row's name, [N].
        labelled: whether each row has a label, [N].
        column: what the column of names is called.

    Raises:
        UsageError: if rows have different parts, of which none can be told to be for training.
    """
    names = [name.lower() for name in parts]
    rows = {name: np.flatnonzero(np.isin(of, [n for n, other in enumerate(names) if other == name])) for name in names}
    rows = {name: those for name, those in rows.items() if len(those)}
    largest = sorted(rows, key=lambda name: -len(rows[name]))[:NAMED]
    counts = ", ".join(f"{escaped(name[:80]) or 'none'} {len(rows[name])}" for name in largest)
    counts += f" and {len(rows) - NAMED} other parts" if len(rows) > NAMED else ""
    trains = [rows[name] for name in TRAIN if name in rows]
    tests = [rows[name] for name in TEST if name in rows]
    nothing = np.array([], np.int64)
    if not trains:
        if len(rows) > 1 and (tests or column.lower() == PARTS[0]):
            raise UsageError(
                f"no part in column {escaped(column[:80])} is called train ({counts}), so it cannot be told which "
                "images are for training and which for testing: call the parts train and test, or the column otherwise"
            )
        told = f"all images are for training, as the parts are not called train and test ({counts})"
        return np.arange(len(of)), nothing, (told,) if len(rows) > 1 else ()
    test = max(tests, key=lambda rows: (labelled[rows].all(), labelled[rows].any()), default=nothing)
    told = f"images of other parts than {'train and test' if tests else 'train'} are left out ({counts})"
    return trains[0], test, (told,) if len(trains[0]) + len(test) < len(of) else ()


def parts_of(root: Path, closed: Sequence[str]) -> tuple[Folder, Folder | None, tuple[str, ...]]:
    """The training images, the test images if they have a folder of their own, and what is to be said of the others.

    ``closed``: what is said of folders that cannot be looked into.
    """
    base = _unwrapped(root)
    train, test, notes = _parts_of(root, base, closed)
    if len(train) and len(train.classes or ()) < 2:
        notes += tuple(_tables_between(root, base))
    return train, test, notes


def _parts_of(root: Path, base: Path, closed: Sequence[str]) -> tuple[Folder, Folder | None, tuple[str, ...]]:
    for place in (base, *(folder for name, folder in _folders_in(base).items() if name in IMAGES)):
        parts = _folders_in(place)
        first = next((parts[name] for name in TRAIN if name in parts), None)
        others = [parts[name] for name in TEST if name in parts]
        if first and others:  # without a test part, "train" may well be a class
            train = Folder(first)
            tests = [test for test in map(Folder, others) if len(test)]
            known = (test for test in tests if train.classes and set(test.classes or ()) & set(train.classes))
            if test := next(known, next(iter(tests), None)):
                left = _left_out(parts, (first, test.root))
                return train, test, (*closed_folders(closed, beside=(first, test.root)), *left)
    whole = Folder(root)
    lone = whole.paths[0].partition("/")[0] if len(whole) else ""
    if lone.lower() in TRAIN and whole.classes == [lone]:  # a class by itself would tell nothing apart
        return Folder(root / lone), None, ()
    return whole, None, ()


def _tables_between(root: Path, base: Path) -> Iterator[str]:
    """What is said of a table in the images' folder or around it, if their folders name no labels to tell apart."""
    folders = [base, *(folder for folder in base.parents if folder.is_relative_to(root))]
    tables = (path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLES)
    if table := next(tables, None):
        yield f"labels may be in {escaped(str(table))}: to use them, name it in place of the folder"


def _unwrapped(root: Path) -> Path:
    """The folder within ``root`` that all else lies in, as archives have one; ``root`` itself if there is none."""
    within = _folders_in(root)
    if len(within) == 1 and not any(is_image(path) for path in root.iterdir()):
        return _unwrapped(next(iter(within.values())))
    return root


def _folders_in(root: Path) -> dict[str, Path]:
    """The folders in a folder, by their names in small letters, in order; none if it cannot be looked into."""
    try:
        return {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir() and _is_shown(path)}
    except OSError:
        return {}


def _left_out(parts: Mapping[str, Path], taken: Collection[Path]) -> Iterator[str]:
    """What is said of images beside the training and the test part, which are neither learned from nor tested on."""
    rest = (path for name, path in parts.items() if path not in taken and name not in FOLDERS)
    counts = {path.name: sum(map(is_image, _beside_masks(path))) for path in sorted(rest)}
    if sum(counts.values()):
        each = ", ".join(f"{escaped(name)} {count}" for name, count in counts.items() if count)
        used = " and ".join(escaped(path.name) for path in taken)
        yield f"images beside {used} are left out ({each}): name their folder to use them"


def _beside_masks(folder: Path) -> Iterator[Path]:
    """The files in a folder, but for masks in one that is called as those of masks are."""
    for path in files_under(folder):
        if folder.name.lower() != TRUTH or not names_a_mask(path.name):
            yield path


def _is_shown(folder: Path) -> bool:
    """Not so hidden ones, and what macOS adds to archives."""
    return not folder.name.startswith((".", "__MACOSX"))
