"""Recipes as TOML files: flat, each group of settings under a comment."""

import json
import tomllib
from pathlib import Path
from typing import Any

from twofold.errors import UsageError
from twofold.names import escaped, unescaped
from twofold.recipe import version
from twofold.recipe.recipe import Recipe, Wanted, recorded, wanted
from twofold.recipe.settings import declarations

VERSION = "twofold"
"""the key of the version that wrote a recipe; it is no setting"""
BYTES = "bytes"
"""the only key of a table that stands for the name of a file that is not UTF-8, `escaped`"""


def dumps(recipe: Recipe) -> str:
    """The recipe as TOML, with twofold's version; a setting that is None, for which TOML has no word, is left out."""
    groups = {"run": recipe, "augmentation": recipe.augment, recipe.method: recipe.options}
    text = [f"{VERSION} = {value_text(version.VERSION)}\n"]
    for title, group in groups.items():
        values = {name: getattr(group, name) for name in declarations(type(group))}
        lines = [f"{name} = {value_text(value)}\n" for name, value in values.items() if value is not None]
        text.append(f"# {title}\n" + "".join(lines))
    return "\n".join(text)


def value_text(value: Any) -> str:
    """A value as TOML writes it, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{value_text(str(k))} = {value_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, str) and not _is_text(value):
        return f"{{{BYTES} = {value_text(escaped(value))}}}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x7f" not in value  # the only other character that JSON writes and TOML does not read


def read(path: Path) -> dict[str, Any]:
    """Everything in a TOML file.

    Raises:
        UsageError: if there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no recipe at {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None


def load(path: Path) -> Wanted:
    """What a recipe file asks for.

    Raises:
        UsageError: if it cannot be read, or asks for what there is not.
    """
    return wanted(**_settings(read(path)))


def load_recorded(path: Path) -> tuple[Recipe, str]:
    """The recipe that a run has recorded, and the version of twofold that wrote it ("" where it does not say)."""
    found = read(path)
    return recorded(_settings(found)), str(found.get(VERSION, ""))


def _settings(found: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in found.items() if name != VERSION}


def _plain(value: Any) -> Any:
    """A value with the names that `value_text` had to escape as they are."""
    if isinstance(value, dict):
        return unescaped(str(value[BYTES])) if value.keys() == {BYTES} else {k: _plain(v) for k, v in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
