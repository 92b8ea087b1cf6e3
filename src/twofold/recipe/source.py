"""What the source of a method's file says, read without running any of it."""

import ast
from collections.abc import Iterator
from dataclasses import make_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from twofold.errors import UsageError
from twofold.recipe.settings import setting


def is_method(node: ast.ClassDef) -> bool:
    """Whether a class in a source is derived from `Method` itself, by whatever path it is imported."""
    return "Method" in [ast.unparse(base).split(".")[-1] for base in node.bases]


def file_of(module: str, name: str) -> Path:
    """A module's source file; the packages around it are imported, the module itself is not."""
    try:
        found = find_spec(module)
    except Exception as error:  # a package around it that is not there, or that fails
        raise UsageError(f"the method {name!r} cannot be found: {type(error).__name__}: {error}") from None
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise UsageError(f"there is no module {module} with the method {name!r} on Python's path")
    return Path(found.origin)


def table(source: ast.Module | ast.ClassDef, name: str, module: str) -> dict[str, Any]:
    """What ``NAME = dict(key=value, ...)`` or ``NAME = {...}`` assigns; nothing where there is no such line."""
    for node in source.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "dict" and not node.value.args:
                return {str(k.arg): _plain(k.value, f"{module}.{name}: {k.arg}") for k in node.value.keywords}
            return dict(_plain(node.value, f"{module}.{name}"))
    return {}


def options_in(source: ast.Module, module: str) -> type[Any]:
    """The class ``Options`` as a dataclass without its rules; without any setting where there is no such class."""
    found = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Options"]
    fields = [field for node in found for field in _fields(node, source, module)]
    return make_dataclass("Options", fields, kw_only=True, frozen=True)


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
            other = ast.parse(file_of(node.module, name).read_text(encoding="utf-8"))
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
