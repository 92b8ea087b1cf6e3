"""Where paths in the rows of a table lead: to the images' own folder, which may be another than the table's."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from twofold.data.encoded import ARRAY, SUFFIXES
from twofold.data.spreadsheet import Rows
from twofold.errors import UsageError
from twofold.storage.names import escaped, unescaped

ENDINGS = SUFFIXES | {ARRAY}
"""Of what can be an image in a folder."""
LOOKED_AT = 100
"""So many of a column's first values say whether they lead to images in other folders."""


def outside(here: Path, rows: Rows, shown: str) -> Path | None:
    """The folder of the images that paths in rows lead to, if some lead out of the table's folder; else None.

    Args:
        here: the folder of the table, from the root.
        rows: without the columns' names.
        shown: the table's name for messages.

    Raises:
        UsageError: if no folder but the root of all has them.
    """
    columns = [
        column
        for column in zip(*rows, strict=True)
        if not all(path.is_relative_to(here) for path in _led_to(here, column[:LOOKED_AT]))
    ]
    folders = [path.parent for column in columns for path in _led_to(here, column)]
    root = Path(os.path.commonpath(folders)) if folders else None
    if root is not None and root.parent == root:
        some = ", ".join(escaped(str(folder)) for folder in dict.fromkeys(folders))[:300]
        raise UsageError(f"{shown} names images that no folder has together (they are in {some})")
    return root


def within(root: Path, here: Path, text: str) -> str:
    """A path into ``root`` as it is from there, where a row has it from ``here`` or whole; any other text as it is."""
    path = _path_of(here, text)
    return str(path.relative_to(root)) if path is not None and path.is_relative_to(root) else text


def has_ending(text: str) -> bool:
    """Whether a text ends as the name of an image does."""
    return PurePosixPath(text).suffix.lower() in ENDINGS


def _led_to(here: Path, texts: Iterable[str]) -> Iterator[Path]:
    """The images that are there by the paths that texts are."""
    for text in texts:
        with suppress(OSError, ValueError):  # no system has such a path
            if (path := _path_of(here, text)) is not None and path.is_file():
                yield path


def _path_of(here: Path, text: str) -> Path | None:
    """The file that a text with folders means; None if it is no such text."""
    slashed = text.replace("\\", "/") if text.startswith("..\\") else unescaped(text)
    return Path(os.path.normpath(here / slashed)) if "/" in slashed and has_ending(slashed) else None
