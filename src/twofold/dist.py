"""Several processes that compute what one would.

A loss sees the embeddings of the global batch: `gather` brings them together, and every process holds the same loss.
The gradients of the weights follow the convention of DistributedDataParallel: they are to be averaged over the
processes, which DDP does under any launcher, and `average_gradients` in a loop without it. So the backward passes of
`gather` and `mean` hand each process the gradient of its own rows times the number of processes.

A loop of one's own joins the processes by torch's `init_process_group`, or by `processes`, which also ends all of them
when one of them ends. Every process must call what is here in the same order: the others wait for one that does not.
"""

import os
import platform
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from twofold.errors import Collapsed, Diverged, Failed, UsageError

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, as for the first one while it measures; then it raises `Lost`."""
LEAVING = 5.0
"""seconds in which the others may read why the process that holds the store has ended"""
KINDS: dict[str, type[BaseException]] = {
    k.__name__: k for k in (UsageError, Failed, Diverged, Collapsed, KeyboardInterrupt)
}
"""Errors that end all processes as they ended one."""


class Lost(Failed):
    """Another process has ended, or does not answer."""


_store: Any = None
"""By which processes tell each other why they end; None where nobody else is, or others have joined the processes."""


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes of a `torchrun` launch for the length of the block, if there are any.

    An error that ends the block in one process ends it in the others too, by the same error, when they next wait for
    that process. A process that was killed has no error: the others then raise `Lost`.

    Raises:
        UsageError: if the environment does not say how the processes find each other.
    """
    global _store
    if "RANK" not in os.environ or dist.is_initialized():
        with _ending_together():
            yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _answered():
        try:
            store, number, size = next(rendezvous("env://", timeout=PATIENCE))
        except ValueError as error:
            raise UsageError(f"RANK is set, so this is one of several processes, but: {error} (see torchrun)") from None
        own = dist.PrefixStore(f"twofold/{_word(store, number, size)}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=own, rank=number, world_size=size, timeout=PATIENCE)
    _store = own
    try:
        with _ending_together():
            yield
    finally:
        dist.destroy_process_group()  # whoever waits for this process finds that it has gone
        _leave(number == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True", size)
        _store = None


def _word(store: Any, number: int, size: int) -> str:
    """A word that these processes alone share: the store of a launch keeps what processes before a restart have left.

    Every other process says a word of its own, and the first one answers each with the word for all.
    """
    mine = secrets.token_hex(8)
    if number > 0:
        store.set(f"twofold/asks/{number}", mine)
        word: str = store.get(f"twofold/answer/{mine}").decode()  # waits
        store.add(f"twofold/heard/{word}", 1)
        return word
    latest = time.monotonic() + PATIENCE.total_seconds()
    while store.add(f"twofold/heard/{mine}", 0) < size - 1:
        for other in range(1, size):
            if store.check([f"twofold/asks/{other}"]):
                store.set(f"twofold/answer/{store.get(f'twofold/asks/{other}').decode()}", mine)
        if time.monotonic() > latest:
            raise RuntimeError("not all processes have come")
        time.sleep(0.02)
    return mine


def _leave(holds: bool, size: int) -> None:
    """Leave the others; whoever ``holds`` the store, as the first one without torchrun, lets them read it first."""
    latest = time.monotonic() + LEAVING
    try:
        left = _store.add("left", 1)
        while holds and left < size and time.monotonic() < latest:
            time.sleep(0.05)
            left = _store.add("left", 0)
    except RuntimeError:  # it went with the process that held it
        return


@contextmanager
def _ending_together() -> Iterator[None]:
    """Tell the other processes of an error in the block; of theirs, raise the first that was told."""
    try:
        yield
    except Lost as lost:
        raise _told() or lost from None
    except (Exception, KeyboardInterrupt) as error:
        _tell(error)
        raise


def _tell(error: BaseException) -> None:
    kind, text = type(error).__name__, str(error)
    if kind not in KINDS:
        kind, text = "Failed", f"process {rank()} has ended, {kind}: {text}"
    if _store is not None:
        try:
            _store.compare_set("ended", "", f"{kind} {text}")
        except RuntimeError:  # it went with the process that held it
            return


def _told() -> BaseException | None:
    try:
        if _store is None or not _store.check(["ended"]):
            return None
        kind, _, text = _store.get("ended").decode().partition(" ")
    except RuntimeError:
        return None
    return KINDS[kind](text)


def first_to_say() -> bool:
    """True in one of the processes that ask, the first: to say for all why they end. True without others."""
    if _store is None:
        return True
    try:
        return bool(_store.add("said", 1) == 1)
    except RuntimeError:  # it went with the process that held it
        return True


@contextmanager
def _answered() -> Iterator[None]:
    """
    Raises:
        Lost: if what is in the block waits for another process in vain.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Lost("another process has ended, or does not answer") from error


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
        with _answered():
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


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, term: Tensor) -> Tensor:
        return total(term.detach() / world())

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]  # a share of 1 / world, times world


def mean(term: Tensor) -> Tensor:
    """The mean of every process's term, for a loss that is a mean over samples and so needs no `gather`."""
    return _Mean.apply(term) if world() > 1 else term


def total(tensor: Tensor) -> Tensor:
    """The sum over the processes of the tensors that they give, all of one shape. It has no gradient."""
    found = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world() > 1:
        with _answered():
            dist.all_reduce(found)
    return found


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message, as DistributedDataParallel does."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([g.flatten() for g in gradients])
    with _answered():
        dist.all_reduce(flat)
    flat /= world()
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


@torch.no_grad()
def from_first(tensor: Tensor) -> Tensor:
    """Fill each process's tensor, which all have of one shape, with what the first one's holds."""
    if world() > 1:
        sent = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.contiguous()
        with _answered():
            dist.broadcast(sent, 0)
        tensor.copy_(sent)
    return tensor


def any_process(flag: bool, device: torch.device) -> bool:
    """True on every process when it is true on one."""
    return bool(total(torch.tensor(float(flag), device=device)) > 0)


def every(value: T) -> list[T]:
    """Every process's value in order of rank, on every process. Values are pickled."""
    found: list[Any] = [value] * world()
    if world() > 1:
        with _answered():
            dist.all_gather_object(found, value)
    return found


def of_first(value: T) -> T:
    """The first process's value on every process; what the others give is of no account."""
    return every(value if rank() == 0 else None)[0]  # type: ignore[return-value]


def to_first(value: T) -> list[T]:
    """Every process's value in order of rank, on the first process; none on the others. Values are pickled."""
    if world() == 1:
        return [value]
    found: list[Any] | None = [None] * world() if rank() == 0 else None
    with _answered():
        dist.gather_object(value, found)
    return found or []


def same(found: str, about: str) -> None:
    """Make sure that all processes find the same: in words ``found``; ``about`` says what must be so.

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
        with _answered():
            dist.barrier()
