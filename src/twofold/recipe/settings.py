"""Settings that declare themselves: a dataclass field knows its default, its words, its bounds and its rule.

A setting is declared once, where it stands:

    temperature: float = setting(0.2, "divides the similarities", low=1e-4)
    queue: int = setting(None, "past keys that are negatives", low=0, auto=queue_length)

None is the one spelling of "choose for me": what is None is chosen by the rule ``auto``, a function of `facts.Facts`.
"""

import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal

from twofold.errors import UsageError

KEY = "twofold"
BYTES = "bytes"
"""the only key of a table that stands, in a recipe file, for the name of a file that is not UTF-8"""


@dataclass(frozen=True)
class Declaration:
    """What `setting` was told of a field; its arguments say what each means."""

    help: str
    low: float | None = None
    """smallest value, of every number where there are several"""
    high: float | str | None = None
    """largest value; ``"images"``: as many as there are images"""
    above: float | None = None
    """what every number must be larger than"""
    ordered: bool = False
    """whether the second of two numbers must not be smaller than the first"""
    auto: Callable[..., Any] | None = None
    """the rule that chooses a value where there is none; its docstring says it in words"""
    operational: bool = False
    """whether it changes how a run is carried out, not what it computes; then it may differ when a run goes on"""

    def check(self, name: str, value: Any) -> None:
        """
        Raises:
            UsageError: if a number is out of bounds.
        """
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if self.above is not None and not number > self.above:
                raise UsageError(f"{name} must be above {self.above:g}, not {number:g}")
            low = -math.inf if self.low is None else self.low
            high = self.high if isinstance(self.high, int | float) else math.inf
            if not low <= number <= high:
                at_most = f"at most {high:g}" if self.low is None else f"from {low:g} to {high:g}"
                span = f"at least {low:g}" if high >= 1e6 else at_most
                raise UsageError(f"{name} must be {span}, not {number:g}")
        if self.ordered and numbers[0] > numbers[1]:
            raise UsageError(f"{name} needs two numbers, lowest first, not {show(value)}")


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | str | None = None,
    above: float | None = None,
    ordered: bool = False,
    auto: Callable[..., Any] | None = None,
    operational: bool = False,
) -> Any:
    """A dataclass field that declares a setting; its annotation is float, int, str, bool, dict, tuple or Literal.

    Args:
        default: the value where none is given; None where ``auto`` chooses it (the annotation is then without None).
        help: what it is, in words, for ``--help``.
        low: the smallest value, of every number where there are several.
        high: the largest value; ``"images"``: as many as there are images.
        above: what every number must be larger than.
        ordered: whether the second of two numbers must not be smaller than the first.
        auto: the rule that chooses where nothing is given, a function of `twofold.Facts` (settings by name, the number
            of images and of steps, each None where nobody knows it). Its docstring says it in ``--help``.
        operational: whether it changes how a run is carried out, not what it computes, so that it may differ when a run
            goes on.
    """
    declaration = Declaration(help, low, high, above, ordered, auto, operational)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={KEY: declaration})
    return field(default=default, metadata={KEY: declaration})


def declarations(owner: type) -> dict[str, Declaration]:
    """The settings that a dataclass declares, by name; its other fields are none."""
    return {f.name: f.metadata[KEY] for f in fields(owner) if KEY in f.metadata}


def types_of(owner: type) -> dict[str, Any]:
    """The types of the settings that a dataclass declares, by name."""
    hints = typing.get_type_hints(owner)
    return {name: hints[name] for name in declarations(owner)}


def defaults_of(owner: type) -> dict[str, Any]:
    """The defaults of the settings that a dataclass declares, by name; None: chosen by a rule."""

    def default(f: Field[Any]) -> Any:
        return f.default_factory() if callable(f.default_factory) else f.default

    return {f.name: default(f) for f in fields(owner) if KEY in f.metadata}


def show(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, float):
        return str(float(f"{value:.12g}"))  # 0.4 * 0.1 is 0.04000000000000001
    return "nothing" if value is None else " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def listed(names: Iterable[str], values: dict[str, Any]) -> str:
    """Some settings with their values, as a person writes them."""
    return ", ".join(f"{name} {show(values[name])}" for name in names)


def convert(value: Any, kind: Any, name: str) -> Any:
    """``value`` as the type ``kind`` (a whole number becomes a float, a list a tuple).

    Raises:
        UsageError: if it does not fit; the message says what was expected.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    value = _plain_number(value)
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
    elif kind is dict or origin is dict:
        if isinstance(value, Mapping):
            return _as_toml_reads_it(value, name)
        expected = "a table"
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    elif isinstance(value, kind) and kind is not float and not (kind is int and isinstance(value, bool)):
        return value
    else:
        number = "a finite number" if isinstance(value, float) else "a number"
        words = {"int": "a whole number", "float": number, "str": "a text", "bool": "true or false"}
        expected = words[kind.__name__]
    raise UsageError(f"{name} must be {expected}, not {show(value)!r}")


def _as_toml_reads_it(value: Any, name: str) -> Any:
    """A value of a table as a recipe file gives it back.

    Raises:
        UsageError: if TOML, or how a recipe is written in it, has no word for it.
    """
    value = _plain_number(value)
    if _is_list(value):
        return [_as_toml_reads_it(v, name) for v in value]
    if isinstance(value, Mapping) and set(map(str, value)) != {BYTES}:
        if strange := next((key for key in map(str, value) if any("\ud800" <= c <= "\udfff" for c in key)), None):
            raise UsageError(f"{name} has a name that is no text: {strange!r}")
        return {str(key): _as_toml_reads_it(v, f"{name}, {key!s}") for key, v in value.items()}
    text = isinstance(value, str) and not re.search("[\ud800-\udc7f\udd00-\udfff]", value)  # one that can be written
    if text or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise UsageError(f"{name} must be a text, a finite number, true or false, a list or a table, not {show(value)!r}")


def _plain_number(value: Any) -> Any:
    """Python's number for NumPy's and others', anything else as it is."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
