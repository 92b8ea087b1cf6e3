"""The two ways a command ends early for a reason the user can act on, and a hint for the first."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Wrong usage or unusable input: one line for the user, exit code 2."""


class Diverged(Exception):
    """The run was stopped because its loss is no longer a number: exit code 3."""


class Collapsed(Exception):
    """The run was stopped, as asked for, because its embeddings collapsed: exit code 3."""


def refuse(what: str, **arguments: object) -> None:
    """
    Raises:
        UsageError: for the first argument that was given, as none of them is of use with ``what``.
    """
    for name, value in arguments.items():
        if value is not None:
            raise UsageError(f"{name} is of no use with {what}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean NAME?`` or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
