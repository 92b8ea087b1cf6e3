"""Joining the processes of a launch, and ending them together."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from twofold.dist import LOST, Lost, answered, rank, unanswered
from twofold.errors import Collapsed, Diverged, Failed, UsageError

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, as for the first one while it measures; then it raises `Lost`."""
LEAVING = 5.0
"""seconds in which the others may read why the process that holds the store has ended"""
KINDS: dict[str, type[BaseException]] = {
    k.__name__: k for k in (UsageError, Failed, Diverged, Collapsed, KeyboardInterrupt)
}
"""Errors that end all processes as they ended one."""


_store: Any = None
"""By which processes tell each other why they end; None where nobody else is, or others have joined the processes."""


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes of a `torchrun` launch for the length of the block, if there are any.

    An error that ends the block in one process ends it in the others too, by the same error, when they next wait for
    that process. A process that was killed has no error: the others then raise `Lost`.

    Raises:
        UsageError: if the environment does not say how the processes find each other.
        Lost: if another process has ended without an error, or does not answer for 30 minutes.
    """
    global _store
    if not os.environ.get("RANK") or os.environ.get("WORLD_SIZE") == "" or dist.is_initialized():
        with _ending_together():
            yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with answered():
        try:
            store, number, size = next(rendezvous("env://", timeout=PATIENCE))
        except ValueError as error:
            raise UsageError(f"RANK is set, so this is one of several processes, but: {error} (see torchrun)") from None
        own = dist.PrefixStore(f"twofold/{_word(store, number, size)}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=own, rank=number, world_size=size, timeout=PATIENCE)
        dist.all_reduce(torch.zeros(1))  # one that leaves before all are connected would be taken for lost
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
        if unanswered(error):  # of what torch has sent, as for weights that are cut
            raise _told() or Lost(LOST) from error
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
    """Whether this process is the first that asks, and so says for all of them why they end; true without others."""
    if _store is None:
        return True
    try:
        return bool(_store.add("said", 1) == 1)
    except RuntimeError:  # it went with the process that held it
        return True


def local_rank() -> int:
    """The number of this process among those on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", 0))
