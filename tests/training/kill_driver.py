"""Run by test_kill.py: trains methods many times in child processes that are killed at chosen or random moments.

    python -m tests.training.kill_driver DIRECTORY METHOD,METHOD [every moment]

Everything is imported once; every attempt is a fork of this process that ends by SIGKILL from inside, at an exact
place, or from outside, after a delay. Prints a line of JSON a method: what became of each attempt.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import twofold
from tests.conftest import tiny
from tests.killing import at_call, in_a_child
from twofold.storage import files, metrics

torch.set_num_threads(1)


def half_a_file(state, file):
    """A save that gets no further than the middle."""
    import io

    whole = io.BytesIO()
    files.torch.serialization.save(state, whole)
    file.write(whole.getvalue()[: whole.tell() // 2])
    file.flush()


# Checkpoints are saved every 3 steps of 12; a save is a write, an fsync, a rename, an fsync of the folder.
MOMENTS = {
    "in the first step": lambda: at_call(metrics.Metrics, "write", 1),
    "between two saves": lambda: at_call(metrics.Metrics, "write", 5),
    "in the middle of writing a checkpoint": lambda: at_call(torch, "save", 2, half_a_file),
    "before the flush to disk": lambda: at_call(os, "fsync", 8),
    "before the rename": lambda: at_call(Path, "replace", 3),
    "after the rename": lambda: at_call(os, "fsync", 10),
    "in the middle of a line of metrics": lambda: at_call(
        metrics.Metrics, "write", 8, lambda self, row: (self._file.write('{"step": 7, "lo'), self._file.flush())
    ),
}


def attempt(out, method, sabotage):
    """Train in a child process; its exit code."""

    def work():
        sabotage()
        twofold.pretrain(out=out, quiet=True, **tiny(method, save_every=3))

    return in_a_child(work)


def attempt_killed_from_outside(out, method, delay):
    child = os.fork()
    if child == 0:
        twofold.pretrain(out=out, quiet=True, **tiny(method, save_every=3))
        os._exit(0)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root, methods, moments):
    for method in methods:
        print(json.dumps({"method": method, "codes": kill_and_resume(root / method, method, moments)}), flush=True)


def kill_and_resume(root, method, moments):
    """What became of a run that is left alone, one killed at a random step, and one killed at each of the moments."""
    nothing = lambda: None  # noqa: E731
    began = time.monotonic()
    codes = {"straight": attempt(root / "straight", method, nothing)}
    lasts = time.monotonic() - began
    for name in moments:  # each on a run of its own, then resumed
        out = root / name.replace(" ", "-")
        codes[name] = attempt(out, method, MOMENTS[name])
        codes[f"{name}, resumed"] = attempt(out, method, nothing)
    dice = random.Random(method)
    if moments:  # and one run, killed at any moment, again and again
        for _ in range(4):
            attempt_killed_from_outside(root / "again-and-again", method, dice.uniform(0.2, 0.9) * lasts)
        codes["again and again, resumed"] = attempt(root / "again-and-again", method, nothing)
    step = dice.randint(2, 12)
    codes["at a random step"] = attempt(root / "random-step", method, lambda: at_call(metrics.Metrics, "write", step))
    codes["random-step, resumed"] = attempt(root / "random-step", method, nothing)
    return codes


main(Path(sys.argv[1]), sys.argv[2].split(","), list(MOMENTS) if sys.argv[3:] else [])
