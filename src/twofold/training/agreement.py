"""What all processes of a run must find alike, before any of them learns.

The first process decides whether the run has begun, what its recipe is and what its first weights are. A process that
finds another run directory, other images or another command ends them all, in one sentence.
"""

import secrets
import time
from pathlib import Path

from torch import nn

from twofold import dist
from twofold.recipe import toml
from twofold.recipe.general import Recipe
from twofold.run import CHECKPOINTS, Run
from twofold.storage import files, locks

SHOWN = 60.0
"""seconds that a file system of several nodes may need to show on one what another has written"""


def begun(run: Run) -> bool:
    """Whether a run has begun.

    Raises:
        UsageError: if one process finds that it has, and another that it has not.
    """
    found = run.begun
    dist.same(f"{'a run that has' if found else 'no run that has'} begun", _shared(run))
    return found


def one_checkpoint(run: Run) -> None:
    """
    Raises:
        UsageError: if the last checkpoint is damaged, or another one for one of the processes.
    """
    if dist.world() > 1:
        dist.same(f"a checkpoint with the digest {files.digest(run.path / CHECKPOINTS[0])}", _shared(run))


def one_folder(run: Run) -> None:
    """
    Raises:
        UsageError: if the run directory, which the first process holds, is another folder for one of the others.
    """
    if dist.world() == 1:
        return
    word, lock = dist.of_first(secrets.token_hex(8)), run.path / locks.HELD
    if dist.rank() == 0:
        with files.saying(lock):
            lock.write_text(word)
    dist.barrier()
    latest = time.monotonic() + SHOWN
    while not (shown := _shows(lock, word)) and time.monotonic() < latest:
        time.sleep(0.2)
    dist.same(f"{'what' if shown else 'nothing that'} process 0 has written", _shared(run))


def _shows(path: Path, word: str) -> bool:
    try:
        return path.read_text() == word
    except OSError:
        return False


def _shared(run: Run) -> str:
    return f"all processes must share the run directory {run.path}"


def same_images(images: int, fingerprint: str, name: str) -> None:
    """
    Raises:
        UsageError: if one process has other images than the first.
    """
    dist.same(f"{images} images with the fingerprint {fingerprint}", f"all processes must have the same images {name}")


def recipe_of_first(settings: Recipe | None, where: str) -> Recipe:
    """The first process's recipe, on every process, which give it or None; ``where`` the run is."""
    text = dist.of_first(toml.dumps(settings) if settings else "")
    return toml.recorded(toml.parsed(text, Path(where)), where)


def weights_of_first(method: nn.Module) -> None:
    """Give the weights of every process, as of a module that was given, what the first one's begin with."""
    for tensor in method.state_dict().values():
        dist.from_first(tensor)
