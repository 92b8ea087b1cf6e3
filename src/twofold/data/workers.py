"""Processes that this one starts: they end with it, whatever ends it, and what goes wrong in them is one line."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children, current_process
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from twofold.errors import Failed, UsageError

GOES_ON = "the same command goes on from the last checkpoint"
LOOK = 1.0
"""seconds between two looks for the parent, where the system does not tell of its end"""


def end_with_parent(parent: int) -> None:
    """Have this process killed when the process ``parent``, which started it, ends, however that one is ended."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def begin(parent: int, _: int) -> None:
    """What a worker process of a loader does first."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to the whole job, they are the parent's
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _unless_cut_off
    end_with_parent(parent)


def _unless_cut_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an uncaught error, unless it only says that the parent no longer takes what a worker's thread hands it."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


def check_may_start(why: str) -> None:
    """
    Raises:
        UsageError: if this process may start no others, as one of a `multiprocessing.Pool` may not; with ``why`` it is
            to start some.
    """
    if current_process().daemon:
        raise UsageError(f"this process is a daemon of multiprocessing, which may start no others, and {why}")


@contextmanager
def working(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches of a loader. At the end of the block its worker processes are gone, whatever ended the block.

    Raises:
        UsageError: if this process may start no others.
    """
    if loader.num_workers:
        check_may_start("images that do not stay in memory are decoded by processes: workers=0 does without")
    before = set(active_children())
    batches: Any = None
    try:
        batches = iter(loader)
        yield _handed_over(batches)
    finally:
        if batches is None:  # not all of them could be started
            for worker in set(active_children()) - before:
                worker.kill()
        elif loader.num_workers and not batches._shutdown:
            _end(batches)


def _end(batches: Any) -> None:
    """Kill the workers of torch's iterator, which asks them politely, and waits for what one that was killed holds."""
    batches._shutdown = True
    if batches._worker_pids_set:  # else their end counts as a failure
        signal_handling._remove_worker_pids(id(batches))  # type: ignore[attr-defined]
        batches._worker_pids_set = False
    if hasattr(batches, "_pin_memory_thread"):
        batches._pin_memory_thread_done_event.set()
    for worker in batches._workers:
        worker.kill()
    for worker in batches._workers:
        worker.join()


def _handed_over(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, until one is missed that a killed worker was handing over, before torch tells of its end."""
    while True:
        try:
            made = next(batches)
        except StopIteration:
            return
        except (ConnectionError, EOFError) as error:
            raise _lost(str(error).lower()) from error
        yield made


@contextmanager
def failures() -> Iterator[None]:
    """Say in one line that a worker process was killed; torch tells of it anywhere in the main thread.

    Raises:
        Failed: if one was.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise _lost(" ".join(str(error).split(".")[0].split()).removeprefix("DataLoader worker ")) from error


def _lost(reason: str) -> Failed:
    return Failed(
        f"a data worker ended before its time, {reason}, as when memory runs out (fewer --workers need less); {GOES_ON}"
    )
