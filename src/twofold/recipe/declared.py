"""What a method's file declares: its card, options and recipe, read from the source without running any of it.

So `--help` and `twofold methods` need no torch, for twofold's own methods as for those of other packages. A method is
named by its file in `twofold.methods`, by an entry point of the group ``twofold.methods``, or as
``package.module:Class``. Its file holds:

    the card         the module's docstring: a title, an empty line, rows of a word and its text
    RECIPE, LARGE    its own defaults for settings that all methods have, what changes for photographs; both optional,
                     and they may stand in the class
    Options          a class of settings (see `settings.setting`), whose defaults and bounds are plain values; optional
    the class        derived from `Method`

From Python a class may be given that is in no such file: one of a notebook, of the program that runs, of a function.
"""

import ast
import importlib
import inspect
import re
import sys
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.foreign import is_foreign, load
from twofold.recipe.settings import declarations, defaults_of
from twofold.recipe.source import file_of, is_method, options_in, table

HOME = Path(__file__).parents[1] / "methods"
GROUP = "twofold.methods"
PROGRAM = "__main__"
"""the module of a notebook, and of the program that runs"""
OPTIONS = 3
"""place of the options among a constructor's parameters, after self, the backbone and the setup"""
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
    given: type[Any] | None = None
    """the method's class, where it was given from Python and is in no file"""

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
        found: type[Any] = self.given or load(f"{self.module}:{self.class_name}", "a method")
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
        if self.given:
            return self.options
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
    if name in _given:
        return _given[name]
    if name.startswith(f"{PROGRAM}:"):
        class_name = name.partition(":")[2]
        if isinstance(kind := getattr(sys.modules[PROGRAM], class_name, None), type):  # defined here once more
            return spec(name_of(kind))
        raise UsageError(
            f"the method {class_name} was defined in a notebook or a program, and is not defined here: write it to a "
            "file and name it as module:Class, so that its runs can be used elsewhere too"
        )
    if is_foreign(name):
        return _read(name, *name.split(":"))
    key = name.strip().replace("-", "_").lower()
    names = methods()
    if key not in names and Path(f"{name}.py").exists():
        raise UsageError(f"a method of your own is named by module and class: {name}:ItsClass, not {name!r}")
    if key not in names:
        raise UsageError(f"there is no method {name!r}{did_you_mean(key, names)} (twofold methods lists them)")
    return _read(key, *names[key].split(":"))


_given: dict[str, Spec] = {}
"""The methods that `name_of` has kept."""


def name_of(kind: type[Any]) -> str:
    """The name, ``module:Class``, by which `spec` finds a method that was given as a class.

    What a module declares is read from its file, as ever. A class of a notebook, of the program that runs or of a
    function is kept for this process, with the options and the defaults that it has now. One that is defined anew,
    under the same name, takes the place of the former.

    Raises:
        UsageError: if it is no class that is derived from `Method` itself, or its options cannot be used.
    """
    if not isinstance(kind, type):
        raise UsageError(f"a method is named or given as a class, not as an object of the kind {type(kind).__name__}")
    name, module = f"{kind.__module__}:{kind.__name__}", sys.modules.get(kind.__module__)
    in_file = getattr(module, "__spec__", None) and getattr(module, kind.__name__, None) is kind
    if kind.__module__ == PROGRAM or not in_file:
        _given[name] = _spec_of(kind, name, vars(module) if module else {})
    else:
        _given.pop(name, None)
    return name


def _spec_of(kind: type[Any], name: str, beside: dict[str, Any]) -> Spec:
    """The declaration of a class, and of what stands ``beside`` it, by the names of a module."""
    if "Method" not in [base.__name__ for base in kind.__bases__]:
        raise UsageError(f"{name} is no method: it must be derived from twofold.Method, and from no other method")
    tables = {own: getattr(kind, own, beside.get(own, {})) for own in ("RECIPE", "LARGE")}
    for own, values in tables.items():
        if not isinstance(values, dict):
            raise UsageError(f"{name}: {own} must be a dict of settings, not {type(values).__name__}")
    recipe, large = (dict(values) for values in tables.values())
    card = inspect.cleandoc(kind.__doc__ or kind.__name__)
    return Spec(name, kind.__module__, kind.__name__, card, _options_of(kind, name, beside), recipe, large, kind)


def _options_of(kind: type[Any], name: str, beside: dict[str, Any]) -> type[Any]:
    """The options that a class's constructor is annotated with; without an annotation what is called ``Options``.

    Raises:
        UsageError: if they are no dataclass of settings, or one has neither a default nor a rule.
    """
    try:
        parameters = list(inspect.signature(kind.__init__, eval_str=True).parameters.values())
    except Exception as error:  # whatever a text that stands for a type comes to
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"{name}: a type in the annotations of its constructor cannot be found ({reason})") from None
    annotation = parameters[OPTIONS].annotation if len(parameters) > OPTIONS else inspect.Parameter.empty
    without = annotation in (inspect.Parameter.empty, Any)
    options: Any = beside.get("Options", make_dataclass("Options", [])) if without else annotation
    if not (isinstance(options, type) and is_dataclass(options)):
        raise UsageError(f"{name}: its options must be a dataclass, with @dataclass(frozen=True, kw_only=True)")
    declared, defaults = declarations(options), defaults_of(options)
    for option in [field.name for field in fields(options)]:
        if option not in declared:
            raise UsageError(f"{name}: Options.{option} must be declared as setting(default, 'what it is', ...)")
        if defaults[option] is None and declared[option].auto is None:
            raise UsageError(f"{name}: Options.{option} has no default and no rule auto= that would choose it")
    return options


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
    path = file_of(module, name)
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
    recipe, large = (table(classes[class_name], n, module) or table(source, n, module) for n in ("RECIPE", "LARGE"))
    return Spec(name, module, class_name, card, options_in(source, module), recipe, large)
