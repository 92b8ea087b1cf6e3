"""Files of object stores and of the web, which are read by ranges, and files of this machine, which are read alike.

A read is tried again a few times. What still fails then ends the command, as no image is broken because a network is.
"""

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from twofold.data.hub import in_a_line
from twofold.data.names import PACKAGES
from twofold.data.sources import modified
from twofold.errors import Failed, UsageError

TRIES = 5
PAUSE = 0.5
"""seconds before a second try; twice as long before each further one"""
BLOCK = 1 << 20
"""Bytes of one request where a file is read from end to end."""
MISSING = (403, 404, 410)
"""What the web says of a file that is not there, or not for us."""
STAMPS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "blob_id")
"""What the systems call that which changes when a file is replaced."""

T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """A file, or what stands for a folder, by its address, with as much of what a path has as is needed."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return self.url.partition("?")[0].rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Remote":
        return Remote(self.url.partition("?")[0].rpartition("/")[0])

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}")

    def with_suffix(self, suffix: str) -> "Remote":
        return self.parent / (self.name.removesuffix(self.suffix) + suffix)

    @property
    def system(self) -> Any:
        """fsspec's file system for it, one in each process.

        Raises:
            UsageError: if the package for it is missing.
        """
        import fsspec

        protocol = self.url.partition("://")[0]
        try:
            return fsspec.filesystem(protocol)
        except ImportError:
            raise UsageError(f"{protocol}:// needs one more package: pip install {PACKAGES[protocol]}") from None

    @cached_property
    def about(self) -> dict[str, Any]:
        """What its system says of it, which is asked once."""
        found: dict[str, Any] = tried(self, lambda: self.system.info(self.url))
        return found

    def below(self) -> list["Remote"]:
        """All files in a folder."""
        protocol = self.url.partition("://")[0]
        found = tried(self, lambda: self.system.find(self.url))
        return [Remote(f"{protocol}://{path.partition('://')[2] or path}") for path in sorted(found)]


Place = Path | Remote
"""A file, wherever it is."""


def tried(place: Remote, read: Callable[[], T]) -> T:
    """What ``read`` gives, which may need several tries.

    Raises:
        OSError: if there is no such file, or it may not be read.
        Failed: if it cannot be had.
    """
    for attempt in range(TRIES):
        try:
            return read()
        except (PermissionError, IsADirectoryError, UsageError, MemoryError):
            raise
        except Exception as told:  # each system has its own kinds
            error = _meant(place, told)
            if isinstance(error, FileNotFoundError):
                raise error from None
            if type(error).__name__ in ("NoCredentialsError", "EndpointConnectionError") or attempt == TRIES - 1:
                raise Failed(f"{place} cannot be reached: {in_a_line(error)}") from error
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError


def _meant(place: Remote, error: Exception) -> Exception:
    """What went wrong: the web's system calls a file missing whatever kept it from asking for it."""
    cause = error.__cause__
    if not (place.url.startswith("http") and isinstance(error, FileNotFoundError) and isinstance(cause, Exception)):
        return error
    return error if getattr(cause, "status", None) in MISSING else cause


@contextmanager
def asking(place: Remote) -> Iterator[None]:
    """Say in one line that what somebody has named cannot be had.

    Raises:
        UsageError: if it cannot.
    """
    try:
        yield
    except Failed as error:
        public = "; public data of s3:// need FSSPEC_S3_ANON=true" if place.url.startswith("s3") else ""
        raise UsageError(f"{error}{public}") from error.__cause__
    except FileNotFoundError:
        raise UsageError(f"there is no {place}") from None
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror or in_a_line(error)}") from None


def size(place: Place) -> int:
    """Of a file in bytes."""
    return place.stat().st_size if isinstance(place, Path) else int(place.about["size"] or 0)


def stamp(place: Place) -> object:
    """What changes when a file is replaced: of a file of this machine the time."""
    if isinstance(place, Path):
        return modified(place)
    about = place.about
    return [about["size"], *(str(about[name]) for name in STAMPS if about.get(name))]


def part(place: Place, offset: int, length: int) -> bytes:
    """So many bytes of a file from a place on, or as many as there are.

    Raises:
        OSError: if it cannot be read.
        Failed: if it cannot be reached.
    """
    if isinstance(place, Path):
        with open(place, "rb") as file:
            file.seek(offset)
            return file.read(length)
    if length <= 0:
        return b""
    content: bytes = tried(place, lambda: place.system.cat_file(place.url, start=offset, end=offset + length))
    if len(content) > length:
        raise Failed(f"{place} cannot be read in parts: its server sends all of it")
    return content


def whole(place: Place, most: int) -> bytes:
    """A file's bytes.

    Raises:
        OSError: if it cannot be read, or has more than so many bytes.
    """
    if size(place) > most:
        raise OSError(f"{place} is larger than {most} bytes")
    return part(place, 0, size(place))


def stream(place: Place) -> io.BufferedReader:
    """A file to read from, in which one may go anywhere."""
    if isinstance(place, Path):
        return open(place, "rb")
    return io.BufferedReader(_Ranges(place), BLOCK)


class _Ranges(io.RawIOBase):
    """A file of a store as a stream, each read a request."""

    def __init__(self, place: Remote) -> None:
        self._place, self._at, self._size = place, 0, size(place)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = part(self._place, self._at, min(len(buffer), self._size - self._at))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
