"""Backbones that were given as modules, from Python: kept for this process under a name that recipes can hold.

A recipe is text, so it cannot hold a module. It holds ``python:ClassName``, and whoever opens the run in another
process gives the module again. Modules of one class may be built of other parts, as all of timm's ResNets are, so what
is written of a backbone tells these apart by a digest of the module's description.
"""

import copy
import hashlib
import logging
import re
import threading

from torch import nn

from twofold.errors import UsageError

PREFIX = "python:"

_modules: dict[tuple[str, str], nn.Module] = {}
"""By name and structure, the last one given."""
_latest: dict[str, str] = {}
"""By name, the structure of the last one given."""


class _Own(threading.local):
    """By name, the structure and the module of the last one that was given in this thread."""

    def __init__(self) -> None:
        self.given: dict[str, tuple[str, nn.Module]] = {}


_own = _Own()


def keep(module: nn.Module) -> str:
    """The name under which copies of a module, with its weights as they are now, can be had in this process."""
    name, structure, kept = PREFIX + type(module).__name__, structure_of(module), copy.deepcopy(module)
    _modules[name, structure], _latest[name], _own.given[name] = kept, structure, (structure, kept)
    return name


def structure_of(module: nn.Module) -> str:
    """A digest of how a module describes itself, its parts and their settings, without places in memory."""
    return hashlib.blake2b(re.sub(r"0x[0-9a-fA-F]+", "", repr(module)).encode(), digest_size=8).hexdigest()


def structure(name: str) -> str:
    """That of the module that was last given under a name, in this thread or else in another; "" if none was."""
    return _own.given[name][0] if name in _own.given else _latest.get(name, "")


def is_given(name: str) -> bool:
    """Whether a backbone's name stands for a module that was given."""
    return name.startswith(PREFIX)


def copy_of(name: str, wanted: str = "") -> nn.Module:
    """A copy of the module that was given last under that name, of the ``wanted`` structure if there is one.

    If there is none, as where another version of its class describes itself otherwise, the last one stands for it, and
    that is said.

    Raises:
        UsageError: if none was, in this process.
    """
    own, module = _own.given.get(name, ("", None))
    if module is None or wanted not in ("", own):
        module = _modules.get((name, wanted or structure(name)))
    if module is None and (latest := structure(name)):
        kind = name.removeprefix(PREFIX)
        logging.getLogger("twofold").warning(f"the {kind} that was given describes itself otherwise than the run's")
        module = _modules[name, latest]
    if module is None:
        kind = name.removeprefix(PREFIX)
        raise UsageError(
            f"this run's backbone was given as a Python object, a {kind}: give it again (backbone=...), or name the "
            "function that builds it, as package.module:function"
        )
    return copy.deepcopy(module)
