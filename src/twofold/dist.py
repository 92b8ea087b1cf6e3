"""Several processes that compute what one would.

A loss sees the embeddings of the global batch: `gather` brings them together, and every process holds the same loss.
The gradients of the weights follow the convention of DistributedDataParallel: they are to be averaged over the
processes, which DDP does under any launcher, and `average_gradients` in a loop without it. So the backward passes of
`gather` and `mean` hand each process the gradient of its own rows times the number of processes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the other processes of a `torchrun` launch for the length of the block, if there are any."""
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=30))
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world())]
        dist.all_gather(parts, rows.contiguous())
        ctx.rows = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process computes the same loss from the same rows, so its own slice is the exact gradient of its rows;
        # the weights' gradients are then averaged, not summed, over the processes.
        return gradients[0].narrow(0, rank() * ctx.rows, ctx.rows) * world()


def gather(rows: Tensor) -> Tensor:
    """All processes' rows in order of rank: [n, ...] -> [n * world, ...]. Its gradient reaches each row's owner."""
    return _Gather.apply(rows) if world() > 1 else rows


def own(rows: Tensor) -> Tensor:
    """This process's rows of those that `gather` has brought together, without a gradient of the other ones'."""
    return rows.chunk(world())[rank()]


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)  # each process's part of the loss has a gradient for all rows
        return total.narrow(0, rank() * ctx.rows, ctx.rows)


def columns(rows: Tensor) -> Tensor:
    """What `gather` gives, for a loss of which every process computes a part and `mean` the whole."""
    return _Columns.apply(rows) if world() > 1 else rows


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, term: Tensor) -> Tensor:
        total: Tensor = term.detach() / world()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]  # a share of 1 / world, times world


def mean(term: Tensor) -> Tensor:
    """The mean of every process's term, for a loss that is a mean over samples and so needs no `gather`."""
    return _Mean.apply(term) if world() > 1 else term


class _Statistic(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, term: Tensor) -> Tensor:
        return mean(term)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0] / world()
        dist.all_reduce(total)  # each process has used it for its own rows
        return total


def statistic(term: Tensor) -> Tensor:
    """What `mean` gives, for what each process does to its own rows with it, as when the batch's mean is taken off."""
    return _Statistic.apply(term) if world() > 1 else term


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message, as DistributedDataParallel does."""
    if world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))


def from_first(tensor: Tensor) -> Tensor:
    """The first process's tensor on every process, which each gives one of its shape for."""
    if world() > 1:
        dist.broadcast(tensor, 0)
    return tensor


def any_process(flag: bool, device: torch.device) -> bool:
    """True on every process when it is true on one."""
    if world() == 1:
        return flag
    total = torch.tensor(float(flag), device=device)
    dist.all_reduce(total)
    return bool(total > 0)


def barrier() -> None:
    if world() > 1:
        dist.barrier()
