"""Atomic files: what stands at a path is always whole, whatever kills the process; and folders held by one process."""

import fcntl
import glob
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from twofold.errors import UsageError

PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file beside ``path``, flush it to the disk, then take the old one's place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself must survive a power cut
    finally:
        os.close(directory)


def remove_partial(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left beside it."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        leftover.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from writing to it for the length of the block.

    Raises:
        UsageError: if it cannot be made, or another process is at work on it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder: {error.strerror}") from None
    with open(folder / ".lock", "w") as lock:
        for _ in range(30):  # what a killed process has left behind may need a moment to end
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        else:
            raise UsageError(f"another process is at work on {folder}")
        yield


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def target(path: str | Path | None) -> Path | None:
    """A path to write to, if there is to be one.

    Raises:
        UsageError: if its folder does not exist.
    """
    if path is not None and not Path(path).parent.is_dir():
        raise UsageError(f"there is no folder {Path(path).parent}")
    return None if path is None else Path(path)


def write_json(path: Path | None, content: dict[str, Any], indent: int) -> dict[str, Any]:
    """Write JSON to a file, if one is named; returns the content as it would be read from there."""
    text = json.dumps(content, indent=indent)
    if path is not None:
        write_text(path, text + "\n")
    written: dict[str, Any] = json.loads(text)
    return written


def save(path: Path, state: dict[str, Any]) -> None:
    """Save a nested dict of tensors, numbers and texts."""
    write_atomically(path, lambda file: torch.save(state, file))


def load(path: Path) -> dict[str, Any]:
    """Load what `save` wrote, onto the CPU; runs no code from the file.

    Raises:
        UsageError: if the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):  # says nothing about the file
        raise
    except Exception as error:  # zip, pickle and torch each have their own kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UsageError(f"{path} is damaged and cannot be loaded ({reason}); remove it to start anew") from None
    return state
