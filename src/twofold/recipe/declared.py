"""What a method's file declares: its card, options and recipe, read from the source without running any of it.

So `--help` and `twofold methods` need no torch, for twofold's own methods as for those of other packages. A method is
named by its file in `twofold.methods`, by an entry point of the group ``twofold.methods``, or as
``package.module:Class``. Its file holds:

    the card         the module's docstring: a title, an empty line, rows of a word and its text
    RECIPE, LARGE    its own defaults for settings that all methods have, what changes for photographs; both optional
    Options          a class of settings (see `settings.setting`), whose defaults and bounds are plain values; optional
    the class        derived from `Method`
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.foreign import is_foreign, load
from twofold.recipe.settings import Declaration, declarations, setting

HOME = Path(__file__).parents[1] / "methods"
GROUP = "twofold.methods"
FAMILIES = ("contrastive", "non-contrastive", "clustering", "distillation", "pretext", "generative", "build your own")


@dataclass(frozen=True)
class Spec:
    """What a method's file declares."""

    name: str
    """the name used everywhere"""
    module: str
    class_name: str
    card: str
    options: type[Any]
    """a dataclass of the method's settings; the rules in it can be read but not called: those of `real_options` can"""
    recipe: dict[str, Any]
    """its own defaults for settings that all methods have"""
    large: dict[str, Any]
    """what changes for photographs, from `rules.LARGE` pixels on"""

    @property
    def title(self) -> str:
        return self.card.partition("\n")[0].rstrip(".")

    def parts(self) -> dict[str, str]:
        """The card's rows: family, views, topology, D, "A, B", loss."""
        rows: dict[str, str] = {}
        key = ""
        for line in self.card.splitlines()[2:]:
            head, text = line[:10].strip(), line[10:].strip()
            key = head or key
            rows[key] = f"{rows.get(key, '')} {text}".strip()
        return {k: v for k, v in rows.items() if k}

    def load(self) -> type[Any]:
        """The method's class; its module is imported, and torch with it."""
        found: type[Any] = load(f"{self.module}:{self.class_name}", "a method")
        return found

    @property
    def pairs_images(self) -> bool:
        """Whether the method's second view may show another image than the first; its file is imported for that."""
        method = self.load()
        return bool(method.VIEWS > 1 and method.NEIGHBOURS)

    def real_options(self) -> type[Any]:
        """The dataclass of the method's settings as its module has it, with rules that can be called.

        Raises:
            UsageError: if the module has other options than its source declares.
        """
        self.load()
        declared: type[Any] = getattr(importlib.import_module(self.module), "Options", self.options)
        if declarations(declared).keys() != declarations(self.options).keys():
            raise UsageError(f"{self.module} must declare its class Options in its own file, with setting(...)")
        return declared


def spec(name: str) -> Spec:
    """The declaration of a method, by its name (a hyphen is taken for an underscore) or as ``package.module:Class``.

    Raises:
        UsageError: if there is no such method, or its file declares what cannot be read.
    """
    if is_foreign(name):
        return _read(name, *name.split(":"))
    key = name.strip().replace("-", "_").lower()
    names = methods()
    if key not in names and Path(f"{name}.py").exists():
        raise UsageError(f"a method of your own is named by module and class: {name}:ItsClass, not {name!r}")
    if key not in names:
        raise UsageError(f"there is no method {name!r}{did_you_mean(key, names)} (twofold methods lists them)")
    return _read(key, *names[key].split(":"))


def is_method(node: ast.ClassDef) -> bool:
    """Whether a class in a source is derived from `Method` itself, by whatever path it is imported."""
    return "Method" in [ast.unparse(base).split(".")[-1] for base in node.bases]


def owners(option: str) -> list[str]:
    """The methods of `methods` that have an option of that name."""
    return [name for name in methods() if option in declarations(spec(name).options)]


@cache
def methods() -> dict[str, str]:
    """Every method with a name of its own, as ``module:Class``.

    twofold's come first, by family and then by the date of their paper, then those of other packages.
    """
    found = {}
    for path in sorted(HOME.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and is_method(node):
                found[path.stem] = f"{GROUP}.{path.stem}:{node.name}"

    def place_of(name: str) -> tuple[int, str]:
        card = _read(name, *found[name].split(":"))
        paper = re.search(r"arXiv ([\d.]+)", card.title)
        return FAMILIES.index(card.parts()["family"]), paper[1] if paper else ""

    ours = {name: found[name] for name in sorted(found, key=place_of)}
    return ours | {point.name: point.value for point in entry_points(group=GROUP) if point.name not in ours}


@cache
def _read(name: str, module: str, class_name: str) -> Spec:
    path = _file_of(module, name)
    try:
        source = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no Python file: {' '.join(str(error).split())}") from None
    classes = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    kinds = [kind for kind, node in classes.items() if is_method(node)]
    if class_name not in kinds:
        what = (
            "is no method: its class line must name twofold.Method, not a class that is derived from it, since the "
            "file is read, not run"
        )
        raise UsageError(f"{module}:{class_name} {what}{did_you_mean(class_name, kinds)}")
    card = ast.get_docstring(source) or ast.get_docstring(classes[class_name]) or class_name
    fields = list(_fields(classes["Options"], source, module)) if "Options" in classes else []
    options = make_dataclass("Options", fields, kw_only=True, frozen=True)
    values = {n: _table(source, n, module) for n in ("RECIPE", "LARGE")}
    return Spec(name, module, class_name, card, options, values["RECIPE"], values["LARGE"])


def _file_of(module: str, name: str) -> Path:
    """A module's source file; the packages around it are imported, the module itself is not."""
    try:
        found = find_spec(module)
    except Exception as error:  # a package around it that is not there, or that fails
        raise UsageError(f"the method {name!r} cannot be found: {type(error).__name__}: {error}") from None
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise UsageError(f"there is no module {module} with the method {name!r} on Python's path")
    return Path(found.origin)


def _table(source: ast.Module, name: str, module: str) -> dict[str, Any]:
    """What ``NAME = dict(key=value, ...)`` or ``NAME = {...}`` assigns; nothing where there is no such line."""
    for node in source.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "dict" and not node.value.args:
                return {str(k.arg): _plain(k.value, f"{module}.{name}: {k.arg}") for k in node.value.keywords}
            return dict(_plain(node.value, f"{module}.{name}"))
    return {}


def _fields(options: ast.ClassDef, source: ast.Module, module: str) -> Iterator[tuple[str, Any, Any]]:
    """The settings of a class ``Options`` as `make_dataclass` takes them."""
    for node in options.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        name = ast.unparse(node.target)
        call = node.value
        if not isinstance(call, ast.Call) or ast.unparse(call.func).split(".")[-1] != "setting":
            raise UsageError(f"{module}: Options.{name} must be declared as setting(default, 'what it is', ...)")
        given = dict(zip(("default", "help"), call.args, strict=False)) | {str(k.arg): k.value for k in call.keywords}
        rule = given.pop("auto", None)
        values = {key: _plain(value, f"{module}.Options.{name}") for key, value in given.items()}
        if rule is not None:
            values["auto"] = _rule(ast.unparse(rule), source, module)
        elif values.get("default") is None:
            raise UsageError(f"{module}.Options.{name} has no default and no rule auto= that would choose it")
        yield name, _type(node.annotation, f"{module}.Options.{name}"), setting(**values)


def _rule(name: str, source: ast.Module, module: str) -> Any:
    """A stand-in for a rule, with the docstring of the function in this file, or in the one it is imported from."""
    text = None
    for node in source.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            text = ast.get_docstring(node)
        elif isinstance(node, ast.ImportFrom) and node.module and name in [a.asname or a.name for a in node.names]:
            other = ast.parse(_file_of(node.module, name).read_text(encoding="utf-8"))
            text = next(
                (ast.get_docstring(n) for n in other.body if isinstance(n, ast.FunctionDef) and n.name == name), None
            )

    def rule(_: object) -> Any:
        raise RuntimeError(f"{module}.{name} was read from its source, not run: Spec.real_options has rules to call")

    rule.__doc__ = text
    return rule


def _plain(node: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UsageError(f"{where} must be a plain value, not {ast.unparse(node)}: it is read, not run") from None


SCALARS: dict[str, type] = {"float": float, "int": int, "str": str, "bool": bool, "dict": dict}


def _type(node: ast.expr, where: str) -> Any:
    """``float``, ``int``, ``str``, ``bool``, ``tuple[...]`` of them, or ``Literal[...]``."""
    text = ast.unparse(node)
    if text in SCALARS:
        return SCALARS[text]
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        head = ast.unparse(node.value).split(".")[-1]
        if head == "Literal":
            return Literal[tuple(_plain(element, where) for element in inner)]
        if head == "tuple":
            parts = [... if ast.unparse(element) == "..." else _type(element, where) for element in inner]
            return tuple.__class_getitem__(tuple(parts))
    hint = "; write it without None, which is no value but means that a rule chooses" if "None" in text else ""
    allowed = "a setting is a float, int, str, bool, dict, a tuple of them, or a Literal"
    raise UsageError(f"{where} has the type {text}: {allowed}{hint}")


__all__ = ["Declaration", "Spec", "methods", "spec"]
