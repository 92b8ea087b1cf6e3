"""Image files by what a row of a table may call them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from twofold.data.paths import has_ending
from twofold.storage.names import unescaped

SEVERAL = -1
"""Stands for the number of an image where a text could mean several."""


class Found(NamedTuple):
    """The number of a file that a text names, and by what.

    ``beginning``: the first folders in the text that the file's path lacks; ``placed``: whether the text has folders;
    ``end``: whether the file's path has first folders that the text lacks.
    """

    place: int
    beginning: str
    placed: bool
    end: bool


class Names:
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

    def find(self, text: str) -> Found | None:
        """The file that a text names; None if there is no such file, or several."""
        for written in dict.fromkeys((text, unescaped(text), text.replace("\\", "/"), composed(text))):
            path = PurePosixPath(written).parts
            names = [_keys(path[n:])[0] for n in range(len(path))]
            for known, tried in ((self._whole, names[:1]), (self._ends, names[:1]), (self._whole, names[1:])):
                place = next((known[name] for name in tried if name in known), None)
                if place == SEVERAL:
                    return None
                if place is not None:
                    beyond = len(path) - len(self._paths[place])
                    return Found(place, "/".join(path[: max(0, beyond)]), len(path) > 1, beyond < 0)
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


def composed(text: str) -> str:
    """A text in which letters with accents are one character each, and not two, as macOS did it in names of files."""
    return text if text.isascii() else normalize("NFC", text)


def _found_by(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What each text stands for, also where accents are written otherwise."""
    exact = _unique(pairs)
    return _unique((composed(text), place) for text, place in exact.items()) | exact


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text, place in pairs:
        if found.setdefault(text, place) != place:
            found[text] = SEVERAL
    return found
