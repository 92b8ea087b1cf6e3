"""Recipes as TOML files: flat, each group of settings under a comment."""

import json
import tomllib
from pathlib import Path
from typing import Any

from twofold.errors import UsageError
from twofold.recipe import version
from twofold.recipe.augment import Augment
from twofold.recipe.foreign import check_code
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import Wanted, complete, settings_of, wanted
from twofold.recipe.settings import BYTES, declarations, defaults_of
from twofold.storage.names import escaped, unescaped

VERSION = "twofold"
"""the key of the version that wrote a recipe; it is no setting"""


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
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON writes it, TOML does not read it
    return repr(value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(path: Path) -> dict[str, Any]:
    """Everything in a TOML file.

    Raises:
        UsageError: if there is no such file, or it is no TOML.
    """
    try:
        return parsed(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UsageError(f"there is no recipe file '{path}'") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None


def parsed(text: str, path: Path) -> dict[str, Any]:
    """Everything in a text of TOML, which is that of the file ``path``.

    Raises:
        UsageError: if it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {' '.join(str(error).split())}") from None


def load(path: Path) -> Wanted:
    """What a recipe file asks for.

    Raises:
        UsageError: if it cannot be read, asks for what there is not, or names code that is not permitted.
    """
    settings = _settings(read(path))
    check_code(settings, str(path))
    return wanted(**settings)


def agreed(kept: dict[str, Any], written: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of a run whose checkpoint has kept some and whose recipe.toml has others, and what they differ in.

    How the run is carried out is as it is written, everything else as it was kept.
    """
    free = {VERSION, *(name for name, declared in declarations(Recipe).items() if declared.operational)}
    usual = defaults_of(Recipe) | defaults_of(Augment)  # of what an earlier version did not have
    had, has = usual | kept, usual | written
    changed = [name for name in {**kept, **written} if name not in free and had.get(name) != has.get(name)]
    return kept | {name: value for name, value in written.items() if name in free}, changed


def recorded(settings: dict[str, Any], where: str) -> Recipe:
    """The recipe that a run has recorded, of what `read` gives; ``where`` the run is.

    Raises:
        UsageError: if it has settings that there are not, lacks some, or names code that is not permitted.
    """
    check_code(settings, where)
    try:
        recipe = complete(_settings(settings))
    except UsageError as error:
        raise UsageError(f"the recipe of {where} is damaged, another version's or of no use here: {error}") from None
    owners = (Recipe, type(recipe.augment), type(recipe.options))
    chosen = {name for owner in owners for name, declared in declarations(owner).items() if declared.auto}
    if missing := [name for name, value in settings_of(recipe).items() if value is None and name in chosen]:
        raise UsageError(f"the recipe of {where} is damaged, or another version's: it lacks {', '.join(missing)}")
    return recipe


def _settings(found: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in found.items() if name != VERSION}


def _plain(value: Any) -> Any:
    """A value with the names that `value_text` had to escape as they are."""
    if isinstance(value, dict):
        return unescaped(str(value[BYTES])) if value.keys() == {BYTES} else {k: _plain(v) for k, v in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
