"""What a settings dataclass declares: its fields' types, conversion to them, their ranges and their documentation."""

import ast
import inspect
import math
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from twofold.errors import UsageError

NESTED = ("augment", "options", "given")
"""Fields of a recipe that are no settings themselves."""


def check(owner: Any, name: str, low: float, high: float) -> None:
    """
    Raises:
        UsageError: if a number of that setting is out of range.
    """
    value = getattr(owner, name)
    for number in value if isinstance(value, tuple) else () if isinstance(value, bool) else (value,):
        if not low <= number <= high:
            span = f"at least {low:g}" if high >= 1e6 else f"from {low:g} to {high:g}"
            raise UsageError(f"{name} must be {span}, not {number:g}")


def show(value: Any) -> str:
    return "nothing" if value is None else " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def types_of(owner: type) -> dict[str, Any]:
    """The flat settings that a dataclass declares, and their types."""
    hints = typing.get_type_hints(owner)
    return {f.name: hints[f.name] for f in fields(owner) if f.name not in NESTED}


def convert(value: Any, kind: Any, name: str) -> Any:
    """``value`` as ``kind`` (int to float, list to tuple), or a `UsageError` that says what was expected."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value in arguments:
            return value
        expected = " or ".join(map(str, arguments))
    elif origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[-1:] == (Ellipsis,) and _is_list(value) else arguments
        if _is_list(value) and len(value) == len(kinds):
            return tuple(convert(v, k, name) for v, k in zip(value, kinds, strict=True))
        count = "a list of" if Ellipsis in arguments else len(arguments)
        expected = f"{count} {getattr(arguments[0], '__name__', arguments[0])} values"
    elif origin is dict:
        if isinstance(value, Mapping):
            return {str(key): _as_toml_reads_it(v) for key, v in value.items()}
        expected = "a table"
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    elif isinstance(value, kind) and kind is not float and not (kind is int and isinstance(value, bool)):
        return value
    else:
        expected = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}[
            kind.__name__
        ]
    raise UsageError(f"{name} must be {expected}, not {show(value)!r}")


def _as_toml_reads_it(value: Any) -> Any:
    return [_as_toml_reads_it(v) for v in value] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def field_help(owner: ast.ClassDef) -> dict[str, str]:
    """The text under each field of a class, by the field's name."""
    texts = {}
    for line, after in zip(owner.body, owner.body[1:], strict=False):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            texts[line.target.id] = str(after.value.value)
    return texts


def documented(owner: type) -> dict[str, str]:
    """`field_help` of a class, from its module's source."""
    source = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(source, ast.ClassDef)
    return field_help(source)
