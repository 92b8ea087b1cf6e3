"""Where the paths in a column of a table lead: to the images' own folder, which may be another than the table's."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from twofold.data.encoded import ARRAY, SUFFIXES
from twofold.errors import UsageError
from twofold.storage.names import escaped, unescaped

ENDINGS = SUFFIXES | {ARRAY}
"""Of what can be an image in a folder."""


def root_of(here: Path, column: Sequence[str], shown: str) -> Path | None:
    """The folder of the images that paths lead to, if some lead out of the table's folder; None if none does.

    Args:
        here: the folder of the table, from the root.
        column: the paths, from that folder or from the root.
        shown: the table's name for messages.

    Raises:
        UsageError: if no folder but the root of all has them.
    """
    paths = [_path_of(here, text) for text in column]
    if not any(not path.is_relative_to(here) and _is_there(path) for path in paths):
        return None
    folders = list(dict.fromkeys(path.parent for path in paths if _is_there(path)))
    root = Path(os.path.commonpath(folders))
    if root.parent == root:
        some = ", ".join(escaped(str(folder)) for folder in folders)[:300]
        raise UsageError(f"{shown} names images that no folder has together (they are in {some})")
    return root


def within(root: Path, here: Path, text: str) -> str:
    """A path into ``root`` as it is from there, where a row has it from ``here`` or whole; any other text as it is."""
    if root == here and not text.startswith(("/", ".")):  # it is so already
        return text
    path = _path_of(here, text)
    return str(path.relative_to(root)) if path.is_relative_to(root) else text


def has_ending(text: str) -> bool:
    """Whether a text ends as the name of an image does."""
    return PurePosixPath(text).suffix.lower() in ENDINGS


def _path_of(here: Path, text: str) -> Path:
    """The file that a text means, from a folder or from the root."""
    slashed = text.replace("\\", "/") if text.startswith("..\\") else unescaped(text)
    return Path(os.path.normpath(here / slashed))


def _is_there(path: Path) -> bool:
    """Whether a path is that of a file that can be an image."""
    with suppress(OSError, ValueError):  # no system has such a path
        return has_ending(path.name) and path.is_file()
    return False
