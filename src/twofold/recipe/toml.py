"""Recipes as TOML files: flat, each group of settings under a comment."""

import json
import tomllib
from pathlib import Path
from typing import Any

from twofold.errors import UsageError
from twofold.recipe.recipe import Recipe
from twofold.recipe.settings import types_of


def dumps(recipe: Recipe) -> str:
    """The recipe as TOML, each group under a comment."""
    groups = {"run": recipe, "augmentation": recipe.augment, recipe.method: recipe.options}
    text = []
    for title, group in groups.items():
        names = types_of(type(group))
        text.append(f"# {title}\n" + "".join(f"{name} = {value_text(getattr(group, name))}\n" for name in names))
    return "\n".join(text)


def value_text(value: Any) -> str:
    """A value as TOML writes it, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{value_text(str(k))} = {value_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def read(path: Path) -> dict[str, Any]:
    """Flat settings from a TOML file.

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
