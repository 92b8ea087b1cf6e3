"""Parts that are not twofold's own, named ``package.module:name`` on the command line, in Python and in recipes.

Whoever names one in a command or in Python wants it to be run. A file may come from anybody: what it names is run only
where the person has named it too, or has permitted its module.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from twofold.errors import UsageError, did_you_mean

PERMIT = "TWOFOLD_PERMIT"
"""The environment variable that has what is permitted, with commas; processes that this one starts have it too."""

NETWORK = ("hf:", "torchvision:", "s3://", "gs://", "http://", "https://")
"""What the names of data begin with that are not on this machine, or need not be."""


def is_foreign(name: str) -> bool:
    """Whether a name means a part outside twofold: it has a colon with a module before it and an object after it."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(map(str.isidentifier, module.split("."))) and attribute.isidentifier()


def load(name: str, what: str) -> Any:
    """The object that ``package.module:name`` stands for; its module is imported.

    Args:
        name: the module as Python imports it, a colon, the object's name in it.
        what: what the object is meant to be, for the message, as "a backbone".

    Raises:
        UsageError: if there is no such module or no such name in it, or the module fails when it is imported.
    """
    if not is_foreign(name):
        raise UsageError(f"{name!r} does not name {what}: write package.module:name")
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a module does when it is imported
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{what} {name!r} cannot be imported: {type(error).__name__}: {reason}") from None
    if not hasattr(found, attribute):
        raise UsageError(f"{module} has no {attribute!r}{did_you_mean(attribute, vars(found))}")
    return getattr(found, attribute)


def permit(names: Iterable[str]) -> None:
    """Permit modules, with all that is in them, or single parts of them, ``package.module:name``, also in files."""
    before = os.environ.get(PERMIT, "").split(",")
    if every := ",".join(dict.fromkeys(name for name in (*before, *names) if name)):
        os.environ[PERMIT] = every


def permitted(name: str) -> bool:
    """Whether a part that a file names may be run."""
    module = name.partition(":")[0]
    given = os.environ.get(PERMIT, "").split(",")
    return any(name == one or f"{module}.".startswith(f"{one}.") for one in given if one)


def named_in(settings: Mapping[str, Any]) -> list[str]:
    """The parts that settings name by ``package.module:name``, but for modules that were given from Python."""
    distortions = settings.get("distortions")
    several = list(distortions) if isinstance(distortions, list | tuple) else []
    backbone = str(settings.get("backbone", ""))
    single = [settings.get("method"), settings.get("teacher"), None if backbone.startswith("python:") else backbone]
    return [name for name in (*single, *several) if isinstance(name, str) and is_foreign(name)]


def check_code(settings: Mapping[str, Any], where: str) -> None:
    """
    Raises:
        UsageError: if settings in the file or run directory ``where`` name code that is not permitted. A method and a
            distortion are, where their module has been imported: nothing more is run, as their classes are checked.
    """
    for name in named_in(settings):
        classes = name not in (settings.get("backbone"), settings.get("teacher"))
        if not permitted(name) and not (classes and name.partition(":")[0] in sys.modules):
            raise UsageError(refusal(name, where))


def refusal(name: str, where: str) -> str:
    """What is said where a file names code that is not permitted."""
    module = name.partition(":")[0]
    return (
        f"{where} names code that would be run, {name}: if you trust it, add --permit {module} to the command, or set "
        f"{PERMIT}={module}"
    )
