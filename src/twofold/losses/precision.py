"""What holds for every loss: float32 or better, the shapes that it declares, no second derivative by hand."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from numbers import Real
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor

from twofold.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


DIVISORS = {"temperature", "student_temperature", "teacher_temperature"}
"""Names of parameters that every loss divides by."""


def exact(loss: Callable[P, R]) -> Callable[P, R]:
    """Raise half-precision tensors to float32, and keep autocast from lowering what is computed of them.

    That holds for tensors among the arguments, and in lists or tuples among them. Their shapes must be as the loss
    declares them: what torch would broadcast, or take along another dimension, would be another loss. Temperatures
    must be above 0; one that is a tensor is not looked at, since a GPU would be waited for.

    Raises:
        UsageError: when the loss is called with other shapes or numbers, without rows, with tensors of whole numbers
            where floats are due, or with NumPy arrays.
    """
    names = list(inspect.signature(loss).parameters)
    declared, floats = _declared(loss)

    @wraps(loss)
    def in_full(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        _check(loss.__name__, declared, floats, given)
        for name in DIVISORS & given.keys():
            if isinstance(value := given[name], Real) and not float(value) > 0:
                raise UsageError(f"{loss.__name__}: {name} must be above 0, not {float(value):g}")
        first = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor | list | tuple)), None)
        first = first[0] if isinstance(first, list | tuple) else first
        if not isinstance(first, Tensor):
            return loss(*args, **kwargs)  # which says what is missing
        with torch.autocast(first.device.type, enabled=False):
            return loss(*map(_raised, args), **{k: _raised(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return in_full


def at_least_two(samples: int, loss: str) -> int:
    """The number of samples that a loss compares with each other.

    Raises:
        UsageError: if there are fewer than two.
    """
    if samples < 2:
        raise UsageError(f"{loss} compares samples with each other, and needs two at least, not {samples}")
    return samples


def once(backward: Callable[..., R]) -> Callable[..., R]:
    """Refuse to be differentiated twice: for the ``backward`` of an autograd function.

    torch's ``once_differentiable`` alone refuses it only where the gradient that comes in has a gradient itself. A
    loss is the last thing computed, so a plain 1 comes in, and torch would take the first derivative for a constant.
    """
    single = torch.autograd.function.once_differentiable(backward)

    @wraps(backward)
    def refusing(*args: Any) -> R:
        if torch.is_grad_enabled():  # as it is in a backward pass under create_graph=True alone
            raise RuntimeError(
                "a second derivative is asked for (create_graph=True), and what is computed in blocks has a first one "
                "only: for a penalty on gradients take no chunks, and write the loss with torch's own functions"
            )
        found: R = single(*args)
        return found

    return refusing


def _declared(loss: Callable[..., Any]) -> tuple[dict[str, list[str]], set[str]]:
    """The dimensions that each parameter's annotation names, and the parameters that are of floats.

    Dimensions are as in ``n d``; ``*name`` stands for any number of them.
    """
    hints = get_type_hints(loss)
    hints.pop("return", None)
    kinds = {name: (hint, *get_args(hint)) for name, hint in hints.items()}  # one alone, or None, or a sequence of it
    of_tensors = {name: [kind for kind in of_it if hasattr(kind, "dim_str")] for name, of_it in kinds.items()}
    first = {name: found[0] for name, found in of_tensors.items() if found}
    floats = {name for name, kind in first.items() if all(map(re.compile("b?float").match, kind.dtypes))}
    return {name: kind.dim_str.split() for name, kind in first.items()}, floats


def _check(loss: str, declared: dict[str, list[str]], floats: set[str], given: dict[str, object]) -> None:
    """
    Raises:
        UsageError: if one is a NumPy array, a tensor is not of floats where its parameter is of ``floats``, has another
            number of dimensions than that declares, or no rows, or a dimension of one name has two sizes.
    """
    sizes: dict[str, tuple[int, ...]] = {}
    for name, dims in declared.items():
        value = given.get(name)
        for tensor in value if isinstance(value, list | tuple) else (value,):
            if isinstance(tensor, np.ndarray):
                raise UsageError(f"{loss}: {name} must be a torch tensor, not a NumPy array (torch.from_numpy)")
            if not isinstance(tensor, Tensor):
                continue
            if name in floats and not tensor.is_floating_point():
                raise UsageError(f"{loss}: {name} must be of floats, not of {str(tensor.dtype).removeprefix('torch.')}")
            shape = tuple(tensor.shape)
            parts: list[tuple[int, ...]] = [(size,) for size in shape]
            if dims and dims[0].startswith("*"):
                free = max(0, len(shape) - len(dims) + 1)
                parts = [shape[:free], *parts[free:]]
            known = [f"{dim} is {' x '.join(map(str, sizes[dim]))}" for dim in dims if sizes.get(dim)]
            pairs = zip(dims, parts, strict=False)
            if len(parts) != len(dims) or any(sizes.setdefault(dim, part) != part for dim, part in pairs):
                where = f", where {', '.join(known)}" if known else ""
                raise UsageError(f"{loss}: {name} has the shape {list(shape)}, not [{', '.join(dims)}]{where}")
            if sizes.get("n") == (0,) or (dims and dims[0].startswith("*") and 0 in shape):
                raise UsageError(f"{loss}: {name} has no rows")


def _raised(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(map(_raised, value)) if isinstance(value, tuple) else list(map(_raised, value))
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value  # type: ignore[attr-defined]
