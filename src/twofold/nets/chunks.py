"""A batch that passes a network in chunks, with the gradient of the whole: memory grows with the chunk alone.

The loss needs the features of the whole batch, but not all that the network remembers on the way to them. So the
network is passed twice (gradient caching, arXiv 2101.06983 section 3.2): first without a graph, chunk by chunk, for the
features; then, when their gradient is known, each chunk once more with a graph, which gets its part of that gradient.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from twofold.losses.precision import once

Draws = list[tuple[Callable[[Tensor], object], Tensor]]


class Chunked:
    """What passes its network in chunks of so many rows, where ``chunk`` says so; None: the whole batch at once."""

    chunk: int | None = None


def set_chunk(module: nn.Module, size: int | None) -> None:
    """Let a module and everything in it that can pass its network in chunks of ``size`` rows; None: none does."""
    for part in module.modules():
        if isinstance(part, Chunked):
            part.chunk = size


def in_chunks(
    network: Callable[..., Tensor],
    rows: Sequence[Tensor | None],
    size: int | None,
    inside: nn.Module | None = None,
    weights: Iterable[Tensor] = (),
) -> Tensor:
    """``network(*rows)`` in equal chunks of at most ``size`` rows, exactly: each row's result and every gradient.

    That holds for a network whose rows do not depend on each other. A batch norm in training mode takes its mean and
    variance of a chunk, as if each chunk were a batch of its own; the gradient is then exactly that of this. Dropout
    has the same draws in both passes, and the second pass leaves no trace in norm statistics and other buffers.

    Args:
        network: a function of as many tensors as there are in ``rows``, with a result [n, ...].
        rows: tensors [n, ...], the first of which is one; or None.
        size: the largest number of rows at once; None: all.
        inside: the module that ``network`` calls, whose buffers are kept.
        weights: all that gets a gradient besides ``rows``.
    """
    parts = -(-len(_first(rows)) // size) if size else 1
    if parts <= 1:
        return network(*rows)
    if not torch.is_grad_enabled():
        return torch.cat([network(*some) for some in _cut(rows, parts)])
    learned = [weight for weight in weights if weight.requires_grad]
    result: Tensor = _TwoPasses.apply(network, inside, parts, len(rows), *rows, *learned)
    return result


class _TwoPasses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        network: Callable[..., Tensor],
        inside: nn.Module | None,
        parts: int,
        count: int,
        *tensors: Tensor | None,
    ) -> Tensor:
        place = _first(tensors).device
        ctx.network, ctx.inside, ctx.parts, ctx.count, ctx.place = network, inside, parts, count, place
        ctx.enabled, ctx.dtype = torch.is_autocast_enabled(place.type), torch.get_autocast_dtype(place.type)
        ctx.draws = _draws(place)
        ctx.buffers = [(m, name, b.clone()) for m, name, b in _buffers(inside)]
        ctx.save_for_backward(*tensors)
        with _autocast(ctx):
            return torch.cat([network(*some) for some in _cut(tensors[:count], parts)])

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weights = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = [row is not None and row.requires_grad for row in rows]
        of_rows: list[list[Tensor | None]] = []
        of_weights: list[Tensor | None] = [None] * len(weights)
        with _as_before(ctx):
            for some, part in zip(_cut(rows, ctx.parts), gradient.tensor_split(ctx.parts), strict=True):
                own = [None if row is None else row.detach() for row in some]
                inputs = [
                    row.requires_grad_() for row, asked in zip(own, wanted, strict=True) if row is not None and asked
                ]
                with torch.enable_grad(), _autocast(ctx):
                    result = ctx.network(*own)
                found = torch.autograd.grad(result, [*inputs, *weights], part, allow_unused=True)
                of_rows.append(list(found[: len(inputs)]))
                of_weights = [_added(a, b) for a, b in zip(of_weights, found[len(inputs) :], strict=True)]
        whole = iter([torch.cat(parts) for parts in zip(*of_rows, strict=True)])
        return None, None, None, None, *(next(whole) if asked else None for asked in wanted), *of_weights


def _first(rows: Sequence[Tensor | None]) -> Tensor:
    first = rows[0]
    assert first is not None
    return first


def _cut(rows: Sequence[Tensor | None], parts: int) -> Iterator[tuple[Tensor | None, ...]]:
    """The rows in so many parts, whose lengths differ by one at most."""
    return zip(*(row.tensor_split(parts) if row is not None else [None] * parts for row in rows), strict=True)


def _added(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    """The total with more in it. It is a tensor of its own, as two weights may be given one and the same gradient."""
    if more is None:
        return total
    return more.clone() if total is None else total.add_(more)


def _autocast(ctx: Any) -> torch.autocast:
    """As it was in the first pass. Weights that were lowered without a graph must not be found by what needs one."""
    return torch.autocast(ctx.place.type, ctx.dtype, ctx.enabled, cache_enabled=False)


@contextmanager
def _as_before(ctx: Any) -> Iterator[None]:
    """Random draws and buffers are those of the first pass for the length of the block, and as they were after it."""
    draws, buffers = _draws(ctx.place), list(_buffers(ctx.inside))
    for put, state in ctx.draws:
        put(state)
    for module, name, buffer in ctx.buffers:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in buffers:
            setattr(module, name, buffer)
        for put, state in draws:
            put(state)


def _buffers(inside: nn.Module | None) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """What a pass may change: the buffers of all modules that are in training mode."""
    for module in inside.modules() if inside is not None else ():
        if module.training:
            for name, buffer in module.named_buffers(recurse=False):
                yield module, name, buffer


def _draws(place: torch.device) -> Draws:
    """The states of the random generators that networks on a device draw from, and how each is set."""
    found: Draws = [(torch.set_rng_state, torch.get_rng_state())]
    if place.type == "cuda":
        found.append((partial(torch.cuda.set_rng_state, device=place), torch.cuda.get_rng_state(place)))
    elif place.type == "mps":
        found.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))
    return found
