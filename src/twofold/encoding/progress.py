"""How long work tells of itself: a function that is called with what is done, how much of it, and how much there is."""

from collections.abc import Callable

Tell = Callable[[str, int, int], None]
"""``tell(what, done, of)``: ``done`` of ``of`` pieces of the work named ``what`` are done."""


def silent(what: str, done: int, of: int) -> None:
    """Tells nobody."""


def within(tell: Tell, whole: str) -> Tell:
    """For a part of the work: what it tells is preceded by the name of the whole, as in ``whole: what``."""
    return lambda what, done, of: tell(f"{whole}: {what}", done, of)
