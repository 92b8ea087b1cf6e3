"""The ways a command ends early for a reason the user can act on, and a hint for the first."""

import difflib
import errno
import re
from collections.abc import Iterable


class UsageError(Exception):
    """Wrong usage or unusable input: one line for the user, exit code 2."""


class Failed(Exception):
    """Something outside twofold failed, as a full disk or a killed process: one line for the user, exit code 1."""


class Diverged(Exception):
    """The run was stopped because its loss is no longer a number: exit code 3."""


class Collapsed(Exception):
    """The run was stopped, as asked for, because its embeddings collapsed: exit code 3."""


ADVICE = {
    errno.ENOSPC: "make room there and give the command again",
    errno.EDQUOT: "make room there and give the command again",
    errno.EFBIG: "permit larger files there and give the command again",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "permit it, or choose another place",
    errno.EPERM: "permit it, or choose another place",
}
"""What to do about what an operating system says."""


def system_words(error: OSError) -> str:
    """What the operating system says, and what to do about it."""
    said = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{said}; {ADVICE[error.errno]}" if error.errno in ADVICE else said


def system_error(error: BaseException | None) -> OSError | None:
    """The operating system's error that an exception is or followed from, if any."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def refuse(what: str, **arguments: object) -> None:
    """
    Raises:
        UsageError: for the first argument that was given, as none of them is of use with ``what``.
    """
    for name, value in arguments.items():
        if value is not None:
            raise UsageError(f"{name} is of no use with {what}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean NAME?`` or nothing. Names that hold all the words of the name, as size is held, come first."""
    names, asked = list(names), _words(name)
    holding = [each for each in names if asked and asked < _words(each)][:3]
    close = holding or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _words(name: str) -> set[str]:
    return set(re.findall("[a-z0-9]+", name.lower()))
