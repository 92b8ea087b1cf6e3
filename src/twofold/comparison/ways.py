"""What a comparison compares: each method from each start, with those of the settings that it has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold.errors import UsageError
from twofold.nets.weights import SUFFIXES
from twofold.recipe import recipe
from twofold.recipe.declared import spec

SCRATCH = "scratch"
"""The start with random weights."""
OF_WEIGHTS = ("neighbours", "interpolate_weights")
"""Settings that need starting weights: a way from random ones goes without them, beside others that have some."""


def ways_of(methods: Sequence[str], starts: Sequence[str], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of every way, with its method and its weights, by its name: METHOD, or METHOD-START from weights.

    Args:
        methods: their names.
        starts: of the backbone: ``scratch``, or what ``weights`` may be.
        settings: of the recipe and of methods; each goes to the methods that have it.

    Raises:
        UsageError: for no method or start, one that is named twice, or a setting that no method has.
    """
    specs = [spec(name.strip()) for name in methods]
    if not specs or not starts:
        raise UsageError("there is nothing to compare: name at least one method and one start")
    known = {declared.name: recipe.known(declared) for declared in specs}
    for name in settings:
        if not any(name.replace("-", "_") in own for own in known.values()):
            recipe.wanted(specs[0].name, **{name: settings[name]})  # which says what is wrong with it
    found: dict[str, dict[str, Any]] = {}
    for start in starts:
        for declared in specs:
            mine = {name: value for name, value in settings.items() if name.replace("-", "_") in known[declared.name]}
            name = declared.name if start == SCRATCH else f"{declared.name}-{short(start, starts)}"
            if name in found:
                raise UsageError(f"{name} is named twice")
            if start == SCRATCH and len(starts) > 1:
                mine = {key: value for key, value in mine.items() if key.replace("-", "_") not in OF_WEIGHTS}
            found[name] = {**mine, "method": declared.name, "weights": "" if start == SCRATCH else start}
    return found


def short(start: str, starts: Sequence[str]) -> str:
    """The last part of a start's path without the ending of a file; after the part before it, if others have it too."""
    path = Path(start)
    own, others = last(path), [last(Path(other)) for other in starts if other != start]
    return f"{path.absolute().parent.name}-{own}" if own in others else own


def last(path: Path) -> str:
    return path.stem if path.suffix in SUFFIXES else path.name
