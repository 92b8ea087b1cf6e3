"""Losses are computed in float32 or better; what has a gradient written by hand has no second one."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def exact(loss: Callable[P, R]) -> Callable[P, R]:
    """Raise half-precision tensors to float32, and keep autocast from lowering what is computed of them.

    That holds for tensors among the arguments, and in lists or tuples among them.
    """

    @wraps(loss)
    def in_full(*args: P.args, **kwargs: P.kwargs) -> R:
        first = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor | list | tuple))
        first = first if isinstance(first, Tensor) else first[0]
        with torch.autocast(first.device.type, enabled=False):
            return loss(*map(_raised, args), **{k: _raised(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return in_full


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


def _raised(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(map(_raised, value)) if isinstance(value, tuple) else list(map(_raised, value))
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value  # type: ignore[attr-defined]
