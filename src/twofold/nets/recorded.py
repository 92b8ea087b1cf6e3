"""A network as it lies in a folder: backbone.json, how it is built, and backbone.safetensors, its weights.

Both may come from anybody. They say what they are to say, and get nothing else done.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets import given
from twofold.nets.backbone import BackboneSpec, Interpolation
from twofold.recipe.foreign import is_foreign, permitted, refusal
from twofold.storage import files

DESCRIPTION, WEIGHTS = "backbone.json", "backbone.safetensors"
REMEDY = "bring it back from a copy; what a run has learned is written anew by its pretrain command"
"""What to do about a damaged file."""
STEMS = ("default", "small")


def write(folder: Path, backbone: nn.Module, spec: BackboneSpec) -> None:
    """Write both files, which plain timm loads; the folder is made if it is not there."""
    folder.mkdir(exist_ok=True)
    files.save_tensors(folder / WEIGHTS, plain_weights(backbone))
    files.write_text(folder / DESCRIPTION, json.dumps(spec.json(), indent=2) + "\n")


def plain_weights(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Weights as safetensors holds them: on the CPU, in float32 where they are floats, contiguous, none shared."""
    return {
        key: value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype).contiguous().clone()
        for key, value in backbone.state_dict().items()
    }


def recorded_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder.

    Raises:
        UsageError: if they are damaged.
    """
    return files.load_tensors(folder / WEIGHTS, REMEDY)


def fill(module: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Give a module the state that was read from ``path``.

    Raises:
        UsageError: if it is another module's.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError):  # other names, other shapes, no tensors
        how = unlike(module.state_dict(), state) or "it holds something else than tensors"
        raise UsageError(f"{path} does not fit the network that is described beside it ({how}): {REMEDY}") from None


def unlike(own: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> str:
    """What first tells the tensors of a file from those of a network, in words; "" if names and shapes agree."""
    for key in own:
        if key not in state:
            return f"it lacks {key}"
        if (there := list(getattr(state[key], "shape", ()))) != list(own[key].shape):
            return f"{key} is {there} in it and {list(own[key].shape)} there"
    return next((f"it also has {key}" for key in state if key not in own), "")


def recorded_spec(folder: Path) -> BackboneSpec:
    """The description in a folder.

    Raises:
        UsageError: if it is damaged, or names code that is not permitted.
    """
    path = folder / DESCRIPTION
    values = files.read_json(path, REMEDY, foreign=True)
    if wrong := _wrong(values):
        raise UsageError(f"{path} is damaged ({wrong}): {REMEDY}")
    name: str = values["name"]
    if is_foreign(name) and not given.is_given(name) and not permitted(name):
        raise UsageError(refusal(name, str(path)))
    return BackboneSpec(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _wrong(values: dict[str, Any]) -> str:
    """What is wrong with the values, in words; "" where nothing is."""
    fields = {field.name: field for field in dataclasses.fields(BackboneSpec)}
    if stray := values.keys() - fields.keys():
        return f"it has {min(stray)!r}"
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            return f"it lacks {name!r}"
    fitting = {
        "name": isinstance(values["name"], str),
        "arguments": isinstance(values["arguments"], dict),
        "stem": values["stem"] in STEMS,
        "interpolation": values.get("interpolation", "bicubic") in get_args(Interpolation),
        "mean": _numbers(values["mean"]),
        "std": _numbers(values["std"]),
        **{key: _count(values.get(key, 1)) for key in ("size", "features", "channels")},
    }
    return next((f"its {name} cannot be {values[name]!r:.80}" for name, fits in fitting.items() if not fits), "")


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(number, int | float) for number in value)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 16
