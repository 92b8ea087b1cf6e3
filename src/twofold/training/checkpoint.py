"""What a run is resumed from: all of its state, its recipe, and what it was computed of and with.

The last two are kept. Torch's files have a CRC-32 of every part: it is at hand, costs a read of the file when a run
goes on, and finds every flipped bit. The file of a damaged checkpoint is named, and the one before it is gone on from.
"""

import os
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from twofold import dist
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.recipe import version
from twofold.run import CHECKPOINTS
from twofold.storage import files
from twofold.training import sharding

BOTH = "no other is left, so remove it to start anew"


def save(
    folder: Path,
    method: Method,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
    data: dict[str, Any],
    recipe: str,
) -> None:
    """Write a checkpoint of ``step`` steps done in so many seconds; the last one becomes the one before it.

    The first process writes it. Where weights are cut, all must call this.

    Args:
        data: identifies the images, and says what else is to be known of them.
        recipe: that of the run, as TOML.
    """
    parts = {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
    parts = sharding.gathered(parts, torch.device("cpu"))
    if dist.rank() > 0:
        return
    last, before = (folder / name for name in CHECKPOINTS)
    state = {"version": version.VERSION, "step": step, "seconds": seconds, "data": data, "recipe": recipe}
    files.save(last, state | parts, lambda: keep(last, before))


def keep(last: Path, before: Path) -> None:
    """Have a file, if it is there, under a second name too, at no moment without its own where there are hard links."""
    if not last.exists():
        return
    before.unlink(missing_ok=True)
    try:
        os.link(last, before)
    except OSError:  # a file system without links
        last.replace(before)


def mend(folder: Path) -> list[str]:
    """Have the checkpoint before it take the place of a last one that is damaged or missing; what there is to say.

    Raises:
        UsageError: if neither is whole.
    """
    last, before = (folder / name for name in CHECKPOINTS)
    try:
        if last.exists():
            files.check(last, BOTH)
            return []
        wrong = f"{last} is missing"
    except UsageError as error:
        wrong = str(error)
        if not before.exists():
            raise
    try:
        files.check(before, BOTH)
    except UsageError as error:
        raise UsageError(f"{wrong.removesuffix(f': {BOTH}')}, and {error}") from None
    before.replace(last)
    return [f"{wrong.removesuffix(f': {BOTH}')}: the run goes on from the checkpoint before it"]


def load(
    folder: Path, method: Method, optimizer: torch.optim.Optimizer, data: dict[str, Any], name: str
) -> tuple[int, float, list[str]]:
    """Bring a method and its optimizer where a checkpoint has them.

    Args:
        data: what identifies the images now; ``name`` is what they are called.

    Returns:
        The steps that are done, the seconds they took, and what there is to say about the version that made them.

    Raises:
        UsageError: if the file is damaged, was made of other images, or does not fit the method and the optimizer, as
            another version of twofold may have had them.
    """
    state = files.load(folder / CHECKPOINTS[0])
    if {key: state["data"][key] for key in data} != data:
        was, now = state["data"]["images"], data["images"]
        change = f"{was} images, not {now}" if was != now else f"{was} other images"
        raise UsageError(
            f"{name} is not what {folder} began with, {change}: choose another --out (a new run can start from the "
            f"weights of this one: --weights {quote(str(folder))} --backbone NAME)"
        )
    made_by = str(state.get("version", ""))
    try:
        parts = sharding.as_weights_lie(state, method, optimizer)
        method.load_state_dict(parts["method"])
        optimizer.load_state_dict(parts["optimizer"])
    except (RuntimeError, ValueError):  # other tensors, other groups of them
        raise UsageError(
            f"{folder} cannot go on: what twofold {made_by or 'of no recorded version'} saved there does not fit "
            f"the method and the optimizer as they are now, in {version.VERSION}; choose another --out"
        ) from None
    return state["step"], state["seconds"], version.note(made_by)
