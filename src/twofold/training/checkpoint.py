"""What a run is resumed from: all of its state, and what it was computed of and with."""

from pathlib import Path
from typing import Any

import torch

from twofold import __version__, files
from twofold.errors import UsageError
from twofold.methods.base import Method

COMPUTES_ANEW = ("0.4.0",)
"""Versions from which on the same recipe computes something else than before, oldest first."""


def save(
    path: Path, method: Method, optimizer: torch.optim.Optimizer, step: int, seconds: float, data: dict[str, Any]
) -> None:
    """Write a checkpoint of ``step`` steps done in so many seconds; ``data`` identifies the images."""
    state = {"version": __version__, "step": step, "seconds": seconds, "data": data}
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
        UsageError: if the file is damaged, or was made of other images.
    """
    state = files.load(path)
    if state["data"] != data:
        was, now = state["data"]["images"], data["images"]
        change = f"{was} images, not {now}" if was != now else f"{was} other images"
        raise UsageError(f"{name} is not what {path.parent} began with, {change}: choose another --out")
    method.load_state_dict(state["method"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"], version_note(str(state.get("version", "")), __version__)


def version_note(old: str, new: str) -> list[str]:
    """What to say when a run that version ``old`` began goes on under ``new``; nothing if they are one."""
    if old == new:
        return []
    between = [
        v for v in COMPUTES_ANEW if number(min(old, new, key=number)) < number(v) <= number(max(old, new, key=number))
    ]
    effect = (
        f"twofold computes something else since {between[-1]}, so the result may differ from a run made in one go"
        if between
        else "both compute the same, so the result does not differ"
    )
    return [f"begun with twofold {old or 'of no recorded version'}, goes on with {new}: {effect}"]


def number(version: str) -> tuple[int, ...]:
    """To compare versions by; what is no number counts as 0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
