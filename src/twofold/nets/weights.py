"""Weights that a backbone starts from: those published for it, a file of them, or a run's.

What others have saved keeps the same tensors under longer names: ``module.encoder_q.`` before each in MoCo's
checkpoints, ``backbone.`` in lightly's and solo-learn's, ``module.backbone.`` inside ``teacher`` in DINO's. So no table
of formats is needed: the prefix is taken under which most of a backbone's weights are found.
"""

import argparse
import json
import pickle
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any, Literal

import numpy as np
import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed  # type: ignore[attr-defined]
from timm.models import PretrainedCfg, adapt_input_conv
from torch import Tensor, nn

from twofold.errors import UsageError
from twofold.nets.backbone import Interpolation
from twofold.nets.published import config_of, published_model
from twofold.nets.recorded import recorded_spec, recorded_weights
from twofold.storage import files

PUBLISHED = "published"
"""timm's own weights for a model"""
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
"""of files of weights"""
ENOUGH = 0.9
"""The share of a backbone's numbers that a file must have: first layers may be new, a stage of blocks may not."""
SMOOTHED = frozenset({"teacher", "ema"})
"""Words in the prefix of the copy that checkpoints keep for use: a teacher, an average over the steps."""
NUMBERS = [type(np.dtype(code)) for code in "?" + np.typecodes["AllInteger"] + np.typecodes["Float"]]
SCALAR: Any = np.float64(0).__reduce__()[0]
KEPT: list[Any] = [argparse.Namespace, PosixPath, np.dtype, SCALAR, *NUMBERS]
KEPT += [(SCALAR, "numpy.core.multiarray.scalar")]  # as NumPy 1 calls it
KEPT += [(PosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")]  # the latter in Python 3.13
"""What checkpoints keep of settings beside tensors and Python's own data: options, paths and numbers of NumPy."""
ALONE = (
    "import torch; found = torch.load({}, weights_only=False); "
    'found = found.state_dict() if hasattr(found, "state_dict") else found.get("state_dict", found); '
    "tensors = {{k: v for k, v in found.items() if torch.is_tensor(v) or isinstance(v, dict)}}; "
    'torch.save(tensors, "tensors.pt")'
)
"""A program that saves the tensors of a checkpoint without what else it holds."""
SHOWN = 4
"""Names in a sentence."""


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and how images are prepared for them.

    ``origin``: where they come from, in words. ``size``: side of the images in pixels. ``mean``, ``std``: of each
    channel, for images from 0 to 1. ``stem``: of a ResNet, as `BackboneSpec` has it.
    """

    origin: str
    tensors: dict[str, Tensor]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    stem: Literal["default", "small"] = "default"


def open_weights(weights: str, backbone: str) -> Weights:
    """The weights called ``published``, in a file, or of a run directory, for a backbone of that name.

    Images are prepared as a run's backbone.json says, or as timm does it for the model's published weights.

    Raises:
        UsageError: if there are none, or they cannot be read or downloaded.
    """
    path = Path(weights)
    if weights == PUBLISHED:
        model = published_model(backbone)
        config = model.pretrained_cfg
        assert isinstance(config, Mapping)
        name = f"{config['architecture']}.{config['tag']}" if config.get("tag") else backbone
        return _prepared(f"timm's published weights of {name}", dict(model.state_dict()), PretrainedCfg(**config))
    if path.is_dir():
        if not (path / "backbone.json").exists():
            raise UsageError(f"{path} has no backbone to start from: no run has ended there")
        spec = recorded_spec(path)
        if spec.name != backbone:
            raise UsageError(f"{path} has a {spec.name}, not a {backbone}: --backbone {spec.name}")
        tensors = recorded_weights(path)
        return Weights(f"the run {path}", tensors, spec.size, spec.mean, spec.std, spec.interpolation, spec.stem)
    if not path.exists():
        raise UsageError(
            f"there are no weights {weights}: give {PUBLISHED}, a file ({' '.join(SUFFIXES)}) or the directory of a run"
        )
    return _prepared(str(path), read_tensors(path), config_of(backbone))


def _prepared(origin: str, tensors: dict[str, Tensor], config: PretrainedCfg | None) -> Weights:
    c = PretrainedCfg() if config is None else config  # the usual ones: 224 pixels, ImageNet's mean and deviation
    interpolation: Interpolation = "bilinear" if c.interpolation == "bilinear" else "bicubic"
    mean, std = (tuple(map(float, values)) for values in (c.mean, c.std))
    return Weights(origin, tensors, int(c.input_size[-1]), mean, std, interpolation)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file or of a checkpoint that torch saved, by their names with dots.

    A checkpoint is loaded as data: it cannot run code.

    Raises:
        UsageError: if it is no such file, or it holds objects that are no data.
    """
    if path.suffix == ".safetensors":
        return files.load_tensors(path, "bring it back from a copy")
    try:
        with torch.serialization.safe_globals(KEPT):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        kind = re.search(r"GLOBAL (\S+)|class '(.+?)'", str(error))
        if kind is None:
            reason = str(error).rpartition("WeightsUnpickler error:")[2].split("\n\n")[0]
            raise UsageError(f"{path} is no checkpoint of tensors ({' '.join(reason.split())[:160]})") from None
        alone = ALONE.format(json.dumps(str(path), ensure_ascii=False))
        raise UsageError(
            f"{path} holds a Python object ({kind[1] or kind[2]}), which is not loaded, as it could run code; if you "
            f"trust the file, save its tensors alone: python -c {shlex.quote(alone)}"
        ) from None
    except Exception as error:  # of pickles and zip files, each has its own kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise UsageError(f"{path} is no file of weights that can be read ({reason})") from None
    found = dict(_flat(state, ""))
    if not found:
        raise UsageError(f"{path} holds no tensors under names")
    return found


def _flat(state: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield prefix, state
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def give(weights: Weights, backbone: nn.Module) -> list[str]:
    """Put weights into a backbone, and say what fits and what does not.

    A first convolution for other channels gets timm's combination of the channels; the position embeddings and the
    patches of a vision transformer are resampled to its own. A tensor of another shape, as the first convolution of a
    small stem, keeps its first values.

    Raises:
        UsageError: if less than nine tenths of the backbone's numbers are found, or the weights are of a larger
            network.
    """
    own = {key: value for key, value in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}
    prefix, names, others = located(own, backbone, weights.tensors)
    found = {key: adapted(key, weights.tensors[name], own[key], backbone) for key, name in names.items()}
    fitting = {key: value for key, value in found.items() if value.shape == own[key].shape}
    total, had = (sum(value.numel() for value in some.values()) for some in (own, fitting))
    if had < ENOUGH * total:
        why = misfit(own, {key: weights.tensors[name] for key, name in names.items()}, weights.tensors, set(fitting))
        raise UsageError(
            f"{weights.origin} does not fit {type(backbone).__name__}: {had / total:.0%} of the backbone's numbers are "
            f"there; {why}"
        )
    used = set(names.values())
    rest = [name for name in weights.tensors if name.startswith(prefix) and name not in used]
    rest = [name for name in rest if not name.endswith("num_batches_tracked")]
    if stray := [name for name in rest if _inside(name.removeprefix(prefix), backbone)]:
        raise UsageError(f"{weights.origin} is of another network: it also has {_some(stray)} (see --backbone, --stem)")
    backbone.load_state_dict(backbone.state_dict() | fitting)
    under = f" under the prefix {prefix}" if prefix else ""
    said = [f"starts from {weights.origin}: {len(fitting)} of {len(own)} tensors fit{under}"]
    if others:
        named = _some([other or "no prefix" for other in others])
        said.append(f"it has as many under {named}, which is left out: to take that, save it alone in a file")
        rest = [name for name in rest if not name.startswith(tuple(filter(None, others)))]
    if fresh := [key for key in own if key not in fitting]:
        said.append(f"not in it or of another shape, so they start at random: {_some(fresh)}")
    if rest:
        said.append(f"left out: {_some(rest)}")
    return said


def misfit(
    own: Mapping[str, Tensor], found: Mapping[str, Tensor], tensors: Iterable[str], fitting: Collection[str]
) -> str:
    """Why weights do not fit a backbone, in words: other names, missing tensors, other shapes.

    Args:
        own: the backbone's tensors by name.
        found: those of the weights that have their names.
        tensors: all names of the weights.
        fitting: names of ``found`` whose tensors have the backbone's shapes or can be brought to them.
    """
    missing = [key for key in own if key not in found]
    if len(found) <= len(missing):
        theirs = sorted(name for name in tensors if not name.endswith("num_batches_tracked"))
        return (
            f"its tensors are called {_some(theirs)}, the backbone's {_some(own)}; --backbone names the timm model "
            "that they belong to"
        )
    why = [f"it has no {_some(missing)}"] if missing else []
    if other := next((key for key in found if key not in fitting), ""):
        why.append(f"{other} is {[*found[other].shape]} in it and {[*own[other].shape]} in the backbone")
    return f"{'; '.join(why)} (see --backbone, --backbone-arguments)"


def located(
    own: Iterable[str], backbone: nn.Module, tensors: Mapping[str, Tensor]
) -> tuple[str, dict[str, str], list[str]]:
    """The prefix of a backbone's tensors in a file, and for each of them the name that it has there, if it is there.

    Last the prefixes of further copies, as of a student beside its teacher: of these the one for use is taken, as far
    as names say which it is, else the first.

    A ``torch.nn.Sequential`` of a network's children, as lightly's examples save it, numbers the children in their
    order instead of naming them.
    """
    number = {name: str(place) for place, (name, _) in enumerate(backbone.named_children())}
    spellings = [{key: key for key in own}]
    if all(key.partition(".")[0] in number for key in own):
        spellings.append({f"{number[key.partition('.')[0]]}.{key.partition('.')[2]}": key for key in own})
    best: tuple[str, dict[str, str], list[str]] = ("", {}, [])
    for spelling in spellings:
        sizes: Counter[str] = Counter()
        for name, tensor in tensors.items():
            for prefix, rest in _cuts(name):
                if rest in spelling:
                    sizes[prefix] += tensor.numel()
        if not sizes:
            continue
        most = max(sizes.values())
        equal = [prefix for prefix, size in sizes.items() if size == most]
        prefix = next((p for p in equal if SMOOTHED & set(re.split(r"[._]", p))), equal[0])
        found = {key: prefix + name for name, key in spelling.items() if prefix + name in tensors}
        others = [other for other in equal if other != prefix]
        best = max(best, (prefix, found, others), key=lambda place: len(place[1]))
    return best


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """A name cut in two at its start and after each of its dots."""
    yield "", name
    for place, letter in enumerate(name):
        if letter == ".":
            yield name[: place + 1], name[place + 1 :]


def adapted(key: str, value: Tensor, own: Tensor, backbone: nn.Module) -> Tensor:
    """A tensor as a backbone of other channels, image size or patches can use it; as it is where no way is known."""
    if value.shape == own.shape or value.ndim != own.ndim:
        return value
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    if key == f"{config.get('first_conv')}.weight" and value.shape[1] != own.shape[1] and value.ndim == 4:
        value = adapt_input_conv(own.shape[1], value)
    if key == "patch_embed.proj.weight" and value.shape[:2] == own.shape[:2]:
        resampled: Tensor = resample_patch_embed(value, list(own.shape[2:]))
        return resampled
    if key == "pos_embed" and value.ndim == 3:
        grid: Any = getattr(backbone, "patch_embed", None)
        tokens = int(getattr(backbone, "num_prefix_tokens", 0)) if not getattr(backbone, "no_embed_class", 0) else 0
        moved: Tensor = resample_abs_pos_embed(value, list(grid.grid_size), num_prefix_tokens=tokens)
        return moved
    return value


def _inside(name: str, backbone: nn.Module) -> bool:
    """Whether a tensor belongs to a child of the backbone, given by its name or number, that has weights of its own."""
    children = list(backbone.named_children())
    named = {**dict(children), **{str(place): child for place, (_, child) in enumerate(children)}}
    part = named.get(name.partition(".")[0])
    return part is not None and bool(part.state_dict())


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
