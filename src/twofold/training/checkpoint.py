"""What a run is resumed from: all of its state, and what it was computed of and with."""

from pathlib import Path
from typing import Any

import torch

from twofold import files
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.recipe import version


def save(
    path: Path, method: Method, optimizer: torch.optim.Optimizer, step: int, seconds: float, data: dict[str, Any]
) -> None:
    """Write a checkpoint of ``step`` steps done in so many seconds; ``data`` identifies the images."""
    state = {"version": version.VERSION, "step": step, "seconds": seconds, "data": data}
    files.save(path, state | {"method": method.state_dict(), "optimizer": optimizer.state_dict()})


def load(
    path: Path, method: Method, optimizer: torch.optim.Optimizer, data: dict[str, Any], name: str
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
    state = files.load(path)
    if state["data"] != data:
        was, now = state["data"]["images"], data["images"]
        change = f"{was} images, not {now}" if was != now else f"{was} other images"
        raise UsageError(f"{name} is not what {path.parent} began with, {change}: choose another --out")
    made_by = str(state.get("version", ""))
    try:
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError):  # other tensors, other groups of them
        raise UsageError(
            f"{path.parent} cannot go on: what twofold {made_by or 'of no recorded version'} saved there does not fit "
            f"the method and the optimizer as they are now, in {version.VERSION}; choose another --out"
        ) from None
    return state["step"], state["seconds"], version.note(made_by)
