"""Parts that are not twofold's own, named ``package.module:name`` on the command line, in Python and in recipes."""

import importlib
from typing import Any

from twofold.errors import UsageError, did_you_mean


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
        raise UsageError(f"{name!r} names no {what.removeprefix('a ').removeprefix('an ')}: package.module:name does")
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a module does when it is imported
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{what} {name!r} cannot be imported: {type(error).__name__}: {reason}") from None
    if not hasattr(found, attribute):
        raise UsageError(f"{module} has no {attribute!r}{did_you_mean(attribute, vars(found))}")
    return getattr(found, attribute)
