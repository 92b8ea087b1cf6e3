"""The two ways a command ends early for a reason the user can act on, and a hint for the first."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Wrong usage or unusable input: one line for the user, exit code 2."""


class Diverged(Exception):
    """The run was stopped because its loss is no longer a number: exit code 3."""


class Collapsed(Exception):
    """The run was stopped, as asked for, because its embeddings collapsed: exit code 3."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean NAME?`` or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
