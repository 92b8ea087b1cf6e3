"""Waiting for what other processes do."""

import contextlib
import time

import psutil


def wait_for(condition, seconds=90):
    """The first true answer of a function that is asked again and again."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def alive(process):
    """Not merely there: one whose parent was killed may stay as a zombie where nobody reaps it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
