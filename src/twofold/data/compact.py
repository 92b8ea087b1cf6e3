"""Very many texts or whole numbers in few arrays, which worker processes share without copying them.

A list of Python objects takes some 100 bytes for each, and a process that is forked copies it piece by piece, as every
look at an object counts who looks at it. The numbers of an array are just there.
"""

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np


class Texts(Sequence[str]):
    """Texts by number, of as many bytes as they have, and eight more each."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)

    @classmethod
    def joined(cls, parts: Sequence["Texts"]) -> "Texts":
        """All texts of the parts, in order."""
        whole = cls([])
        before = np.cumsum([0, *(len(part._bytes) for part in parts)])
        whole._ends = np.concatenate([whole._ends, *(part._ends + n for part, n in zip(parts, before))])
        whole._bytes = np.concatenate([whole._bytes, *(part._bytes for part in parts)])
        return whole

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]  # which refuses what is out of range
        start = int(self._ends[number - 1]) if number else 0
        return self._bytes[start : self._ends[number]].tobytes().decode("utf-8", "surrogateescape")


class Numbers(Sequence[int]):
    """Whole numbers that lie in an array, as Python has them."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> "Numbers": ...
    def __getitem__(self, index: int | slice) -> "int | Numbers":
        found = self.values[index]
        return Numbers(found) if isinstance(index, slice) else int(found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype, copy=copy)


class Coded:
    """Texts that recur, each different one kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, texts: Iterable[str | None]) -> np.ndarray:
        """The number of each text, int32; -1 for None."""
        known = self._numbers
        return np.array([-1 if text is None else known.setdefault(text, len(known)) for text in texts], np.int32)

    @property
    def texts(self) -> list[str]:
        """By their numbers."""
        return list(self._numbers)
