"""Backbones that were given as modules, from Python: kept for this process under a name that recipes can hold.

A recipe is text, so it cannot hold a module. It holds ``python:ClassName``, and whoever opens the run in another
process gives the module again.
"""

import copy

from torch import nn

from twofold.errors import UsageError

PREFIX = "python:"

_modules: dict[str, nn.Module] = {}


def keep(module: nn.Module) -> str:
    """The name under which copies of a module, with its weights as they are now, can be had in this process."""
    name = PREFIX + type(module).__name__
    _modules[name] = copy.deepcopy(module)
    return name


def is_given(name: str) -> bool:
    """Whether a backbone's name stands for a module that was given."""
    return name.startswith(PREFIX)


def copy_of(name: str) -> nn.Module:
    """A copy of the module that was given last under that name.

    Raises:
        UsageError: if none was, in this process.
    """
    if name not in _modules:
        kind = name.removeprefix(PREFIX)
        raise UsageError(
            f"this run's backbone was given as a Python object, a {kind}: give it again (backbone=...), or name the "
            "function that builds it, as package.module:function"
        )
    return copy.deepcopy(_modules[name])
