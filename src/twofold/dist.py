"""Several processes that compute what one would.

A loss sees the embeddings of the global batch: `gather` brings them together, and every process holds the same loss.
The gradients of the weights follow the convention of DistributedDataParallel: they are to be averaged over the
processes, which DDP does under any launcher, and `average_gradients` in a loop without it. So the backward passes of
`gather` and `mean` hand each process the gradient of its own rows times the number of processes.

A loop of one's own joins the processes by torch's `init_process_group`, or by `twofold.launch.processes`, which also
ends all of them when one of them ends. Every process must call what is here in the same order: the others wait for one
that does not.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from twofold.errors import Failed, UsageError

T = TypeVar("T")


LOST = "another process has ended, or does not answer"


class Lost(Failed):
    """Another process has ended, or does not answer."""


_alone = False


def rank() -> int:
    """The number of this process, from 0; 0 where there are no others."""
    return dist.get_rank() if dist.is_initialized() and not _alone else 0


def world() -> int:
    """How many processes there are; 1 where none have been joined."""
    return dist.get_world_size() if dist.is_initialized() and not _alone else 1


@contextmanager
def alone() -> Iterator[None]:
    """In the block this process computes as if it were the only one, whatever the others do meanwhile."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


@contextmanager
def answered() -> Iterator[None]:
    """
    Raises:
        Lost: if what is in the block waits for another process in vain.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Lost(LOST) from error


def unanswered(error: BaseException) -> bool:
    """Whether an error is that of a message between processes, as when torch itself waits for another one in vain."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/transport" in str(error))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world())]
        with answered():
            dist.all_gather(parts, rows.contiguous())
        ctx.rows = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process computes the same loss from the same rows, so its own slice is the exact gradient of its rows;
        # the weights' gradients are then averaged, not summed, over the processes.
        return gradients[0].narrow(0, rank() * ctx.rows, ctx.rows) * world()


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes in order of rank, on every process: [n, ...] -> [n * world, ...].

    All must give equally many. The gradient of each row reaches the process that gave it.

    Raises:
        Lost: if another process has ended, or does not answer; so do all functions here that wait for the others.
    """
    return _Gather.apply(rows) if world() > 1 else rows


def own(rows: Tensor) -> Tensor:
    """This process's share of rows that all processes have, as of those that `gather` has brought together.

    [n * world, ...] -> [n, ...]; shares differ by a row at most where rows cannot be cut evenly.
    """
    return rows.tensor_split(world())[rank()]


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        found = total(gradients[0])  # each process's part of the loss has a gradient for all rows
        return found.narrow(0, rank() * ctx.rows, ctx.rows)


def columns(rows: Tensor) -> Tensor:
    """The same rows as `gather` gives, for a loss that every process computes for its own rows and `mean` averages."""
    return _Columns.apply(rows) if world() > 1 else rows


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, term: Tensor) -> Tensor:
        return total(term.detach() / world())

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]  # a share of 1 / world, times world


def mean(term: Tensor) -> Tensor:
    """The mean of a term over the processes, on each of them, for a loss that is a mean over samples."""
    return _Mean.apply(term) if world() > 1 else term


def total(tensor: Tensor) -> Tensor:
    """The sum of the tensors that the processes give, all of one shape, on each of them. It has no gradient."""
    return _reduced(tensor, dist.ReduceOp.SUM)


def largest(tensor: Tensor) -> Tensor:
    """The largest of what the processes give at each place of a tensor, all of one shape. It has no gradient."""
    return _reduced(tensor, dist.ReduceOp.MAX)


def _reduced(tensor: Tensor, by: Any) -> Tensor:
    found = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world() > 1:
        with answered():
            dist.all_reduce(found, by)
    return found


class _Statistic(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, term: Tensor) -> Tensor:
        return mean(term)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0] / world())  # each process has used it for its own rows


def statistic(term: Tensor) -> Tensor:
    """The mean over the processes, as `mean` gives it, for use on each one's own rows, as when it is subtracted."""
    return _Statistic.apply(term) if world() > 1 else term


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradient of each parameter by its mean over the processes, as DistributedDataParallel does.

    Parameters without a gradient are passed over, and must be the same ones on all processes.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([g.flatten() for g in gradients])
    with answered():
        dist.all_reduce(flat)
    flat /= world()
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


@torch.no_grad()
def from_first(tensor: Tensor) -> Tensor:
    """Copy the first process's tensor into that of every other process, in place, and return it; all have one shape."""
    if world() > 1:
        sent = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.contiguous()
        with answered():
            dist.broadcast(sent, 0)
        tensor.copy_(sent)
    return tensor


def any_process(device: torch.device, *flags: bool) -> list[bool]:
    """Whether each flag is true on any process; the answer is the same on all. ``device`` is where it is exchanged."""
    found: list[bool] = (total(torch.tensor(flags, dtype=torch.float32, device=device)) > 0).tolist()
    return found


def every(value: T) -> list[T]:
    """The values of all processes in order of rank, on every process. Values must be picklable."""
    found: list[Any] = [value] * world()
    if world() > 1:
        with answered():
            dist.all_gather_object(found, value)
    return found


def of_first(value: T) -> T:
    """The first process's value, on every process; the values that the others give are ignored."""
    return every(value if rank() == 0 else None)[0]  # type: ignore[return-value]


def to_first(value: T) -> list[T]:
    """The values of all processes in order of rank, on the first one; an empty list on the others."""
    if world() == 1:
        return [value]
    found: list[Any] | None = [None] * world() if rank() == 0 else None
    with answered():
        dist.gather_object(value, found)
    return found or []


def same(found: str, about: str) -> None:
    """Make sure that ``found``, a text, is the same on all processes; ``about`` says in the error what must be so.

    Raises:
        UsageError: on every process, if one of them finds something else than the first.
    """
    (host, first), *others = every((platform.node(), found))
    for number, (elsewhere, other) in enumerate(others, start=1):
        if other != first:
            found_by = f"process 0 on {host} finds {first}, process {number} on {elsewhere} {other}"
            raise UsageError(f"{about}, but {found_by}")


def barrier() -> None:
    """Wait until every process is here."""
    if world() > 1:
        with answered():
            dist.barrier()


def meeting() -> Callable[[], None]:
    """A barrier that waits for days, not only for as long as messages usually may take.

    Every process must call this, and then what it returns, equally often.
    """
    if world() == 1:
        return lambda: None
    with answered():
        group = dist.new_group(timeout=timedelta(days=365), backend="gloo")

    def meet() -> None:
        with answered():
            dist.barrier(group)

    return meet
