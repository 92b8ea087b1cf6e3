"""Several threads at one list of numbers. Pillow and the disk let other threads run while they are at work."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
AHEAD = 2
"""Results that wait to be taken, at most, for each thread: what is computed does not pile up."""


@contextmanager
def pool_of(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for the length of the block. If it ends early, what they have not begun is not begun any more."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(function: Callable[[int], T], numbers: Iterable[int], threads: int) -> Iterator[T]:
    """``function`` of each number, in order, by so many threads. Whoever takes no more results ends the work."""
    waiting: deque[Future[T]] = deque()
    with pool_of(threads) as pool:
        for number in numbers:
            waiting.append(pool.submit(function, number))
            if len(waiting) >= AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
