"""One process at a time: a run directory, or a file that is being made, is written to by one process alone."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twofold.errors import UsageError, system_words
from twofold.storage import files

HELD = ".lock"
"""The file in a folder by which a process holds it."""
TRIES = 30
"""What a killed process has left behind may need so many tenths of a second to end."""
UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems say that lack locks."""


def refuse_links(folder: Path) -> None:
    """
    Raises:
        UsageError: if there is a symbolic link in a folder that is to be written to.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link, and a run directory with one is not written to: remove it")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from writing to it for the length of the block.

    Raises:
        UsageError: if it cannot be made, holds a link, or another process is at work on it.
    """
    make_folder(folder)
    refuse_links(folder)
    with locked(folder / HELD, folder):
        yield


def refuse_pipes(folder: Path) -> None:
    """
    Raises:
        UsageError: if a folder has pipes, sockets or devices in it, which whoever opens them may wait for without end.
    """
    for path in folder.glob("**/*"):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path} is a pipe or a device, and no file: remove it")


def make_folder(folder: Path) -> None:
    """
    Raises:
        UsageError: if it is not there and cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder: {system_words(error)}") from None


@contextmanager
def locked(lock: Path, what: Path) -> Iterator[None]:
    """Keep other processes from ``what`` for the length of the block, by a file ``lock``, which is removed afterwards.

    Raises:
        UsageError: if another process has it.
    """
    for _ in range(TRIES):
        with files.saying(lock):
            file = open(lock, "w", opener=files.regular)  # noqa: SIM115 - closed below
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            time.sleep(0.1)
            continue
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                raise
            said = f"{lock.parent} is on a file system without locks: nothing keeps a second process from {what}"
            logging.getLogger("twofold").warning(said)
            break
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            break
        file.close()  # who had it has removed it
    else:
        raise UsageError(f"another process is at work on {what}")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()
