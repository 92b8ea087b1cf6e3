"""A run's settings as words of a command line: typed, with help and defaults, after the method that they name.

Nothing here imports torch.
"""

import argparse
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from twofold.data.names import check_there
from twofold.errors import UsageError, did_you_mean
from twofold.recipe import recipe, toml
from twofold.recipe.augment import Augment
from twofold.recipe.declared import methods, owners
from twofold.recipe.foreign import NETWORK, is_foreign, permit
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import Wanted
from twofold.recipe.settings import Declaration, declarations, defaults_of, types_of

DATA_HELP = (
    "the images: a folder, a .csv file that names images and their labels, tar shards or Parquet files (also at an "
    "address s3://, gs://, hf:// or https://), an .npz or .npy file, digits (a small set that comes with twofold), "
    "torchvision:NAME or hf:owner/name"
)
PROTOCOLS_HELP = "knn, linear, mlp, finetune, fewshot, transductive, clusters, retrieval, segmentation, patch_retrieval"


NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names the default of an option, where it has one that says something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False or action.default == ""
        return action.help if silent else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse, but what is wrong is a `UsageError` in one line that names the nearest valid word."""

    def __init__(self, prog: str, about: str = "", **more: Any) -> None:
        self.help_words = prog
        super().__init__(prog, description=about, allow_abbrev=False, formatter_class=Help, **more)
        self._negative_number_matcher = NEGATIVE  # argparse's own takes -1e-3 for an option

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.help_words} --help)")

    def read(self, words: Sequence[str], hint: Callable[[str], str] = lambda _: "") -> dict[str, Any]:
        """The words by name; of options without a default only those that were given.

        ``hint``: what else it says of an option that there is not, beside the nearest one.
        """
        found, stray = self.parse_known_args(self.with_none(words))
        if len(stray) == 1 and not stray[0].startswith("-") and vars(found).get("data", "") is None:
            found.data = stray.pop()  # argparse takes an optional word for missing where an option stands before it
        if stray:
            options = [option for action in self._actions for option in action.option_strings]
            name = stray[0].partition("=")[0]
            near = hint(name) + did_you_mean(name, options) if name.startswith("-") else ""
            self.error(f"unrecognized {name}{near}")
        if data := vars(found).get("data"):
            check_there(data)  # before anything heavy is imported
        return vars(found)

    def with_none(self, words: Sequence[str]) -> list[str]:
        """The words, with one ``none`` for each number of an option that takes several, where one stands for all."""
        counts = {option: action.nargs for action in self._actions for option in action.option_strings}
        found: list[str] = []
        for before, word in zip(("", *words), words):
            count = counts.get(before) if word.lower() == "none" else None
            found += [word] * (count if isinstance(count, int) else 1)
        return found


def recipe_of(words: Sequence[str], about: str) -> Wanted:
    """What the words after `twofold pretrain` ask for; ``about`` heads the help.

    A first parser takes the method and the recipe file out of the words, a second one, which has that method's
    options, the rest.
    """
    first = Parser("twofold pretrain", add_help=False)
    names = ", ".join(methods())
    first.add_argument("--method", metavar="NAME", default=argparse.SUPPRESS,
                       help=f"the method: {names}, or package.module:Class (default: simclr)")  # fmt: skip
    first.add_argument("--recipe", metavar="FILE", default=argparse.SUPPRESS, type=Path,
                       help="a recipe file to start from; options replace its settings")  # fmt: skip
    named, rest = first.parse_known_args(words)
    permit(word for word in words if is_foreign(word))  # also where the recipe file names it
    base = toml.load(named.recipe) if "recipe" in named else recipe.wanted()
    if "method" in named:
        base = recipe.wanted(**{**base.given, "method": named.method})

    parser = Parser("twofold pretrain", about, parents=[first], usage="twofold pretrain DATA [options]")
    if "method" in named:
        parser.help_words += f" --method {named.method}"
    optional: Any = {"nargs": "?", "default": argparse.SUPPRESS} if "data" in base.given else {}
    parser.add_argument("data", metavar="DATA", help=DATA_HELP, **optional)
    for title, owner in {"run": Recipe, "augmentation": Augment, base.method: base.spec.options}.items():
        add_settings(parser.add_argument_group(title), owner, base, skip=("data", "method"))

    def of_others(option: str) -> str:
        has = owners(option.strip("-").replace("-", "_"))
        return f": {base.method} does not have it, but {', '.join(has)}" if has else ""

    given = {name: value for name, value in parser.read(rest, of_others).items() if name not in ("method", "recipe")}
    if "recipe" in named:
        check_downloads(base.given, given, str(named.recipe))
    return base.but(**given)


def check_downloads(written: dict[str, Any], named: dict[str, Any], where: str) -> None:
    """
    Raises:
        UsageError: if a recipe file asks for what may have to be downloaded, and the command does not name it.
    """
    data, weights, teacher = (str(written.get(name, "")) for name in ("data", "weights", "teacher"))
    of_timm = teacher and not is_foreign(teacher) and not Path(teacher).is_dir()
    asks = {
        "data": data.startswith(NETWORK),
        "weights": weights == "published",
        "teacher": of_timm and {**written, **named}.get("teacher_weights", "published") == "published",
    }
    for name, needed in asks.items():
        if needed and name not in named:
            word = written[name] if name == "data" else f"--{name} {written[name]}"
            raise UsageError(f"{where} asks for what may be downloaded: name it in the command too, {word}")


def comparison_of(words: Sequence[str], about: str) -> dict[str, Any]:
    """What the words after `twofold compare` stand for: arguments of `comparison.compare`.

    A first parser finds the methods, whose options the second one then has.
    """
    first = Parser("twofold compare", add_help=False)
    first.add_argument("--methods", default="")
    named = first.parse_known_args(words)[0].methods
    parser = Parser("twofold compare", about, usage="twofold compare DATA --methods NAMES --out FOLDER [options]")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--methods", required=True, metavar="NAMES", default=argparse.SUPPRESS,
                        help="names with commas; all get the compute of the first one's epochs")  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", default=argparse.SUPPRESS,
                        help="the folder to write the runs, compare.json and compare.html to")  # fmt: skip
    parser.add_argument(
        "--seeds", type=whole, default=1, help="how many runs each method has, with the seeds 0, 1, ..."
    )
    parser.add_argument("--starts", default="scratch", metavar="NAMES",
                        help="where the backbone starts: scratch (random weights), published, a file of weights, the "
                             "directory of a run, or several of these with commas between them")  # fmt: skip
    parser.add_argument(
        "--protocols",
        default="knn,linear,fewshot",
        help=f"how the runs are measured: any of {PROTOCOLS_HELP}, with commas between them",
    )
    parser.add_argument("--half", action="store_true", default=argparse.SUPPRESS,
                        help="repeat the best way with half of the images: may more images help?")  # fmt: skip
    own = ("data", "method", "out", "seed", "weights")
    for title, owner in {"run": Recipe, "augmentation": Augment}.items():
        add_settings(parser.add_argument_group(title), owner, recipe.wanted(), skip=own)
    taken: set[str] = set()
    for method in filter(None, map(str.strip, named.split(","))):
        base = recipe.wanted(method)
        add_settings(parser.add_argument_group(base.method), base.spec.options, base, skip=taken)
        taken |= declarations(base.spec.options).keys()
    return parser.read(words)


def add_settings(group: Any, owner: type, base: Wanted, skip: Iterable[str] = ()) -> None:
    """An option for each setting that ``owner`` declares; what is not given does not appear in the result."""
    kinds, defaults = types_of(owner), defaults_of(owner)
    for name, declaration in declarations(owner).items():
        if name not in skip:
            default = base.given.get(name, base.spec.recipe.get(name, defaults[name]))
            photographs = None if name in base.given else base.spec.large.get(name)
            group.add_argument(
                "--" + name.replace("_", "-"), default=argparse.SUPPRESS, metavar=metavar_of(kinds[name]),
                help=help_of(declaration, default, photographs), **reading(kinds[name]),
            )  # fmt: skip


def help_of(declaration: Declaration, default: Any, photographs: Any = None) -> str:
    """A setting's words, and its default, also that for photographs, or the rule by which it is chosen."""
    rule = inspect.getdoc(declaration.auto) if declaration.auto else None
    chosen = f"chosen: {rule}" if default is None and rule else f"default: {shown(default)}"
    large = "" if photographs is None else f"; from 128 pixels on {shown(photographs)}"
    return f"{declaration.help} ({chosen}{large})".replace("%", "%%")


def shown(value: Any) -> str:
    """A default as it would be written on the command line."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(shown, value)) or "nothing"
    return toml.value_text(value) if isinstance(value, bool | dict) else str(value) or '""'


def metavar_of(kind: Any) -> Any:
    """What stands for the value in the help."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, arguments))
    if get_origin(kind) is tuple:
        inner = arguments[0].__name__.upper()
        return inner if arguments[-1] is ... else (inner,) * len(arguments)
    return {bool: "true|false", dict: "NAME VALUE"}.get(kind, getattr(kind, "__name__", "value").upper())


def reading(kind: Any) -> dict[str, Any]:
    """How argparse reads a setting of that type; the word ``none`` takes back what a recipe file has given."""
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        count = "*" if arguments[-1] is ... else len(arguments)
        return {"nargs": count, "type": number(arguments[0]), "action": Several}
    if kind is dict:
        return {"nargs": "*", "action": Table}
    if get_origin(kind) is Literal and "none" in arguments:
        return {"type": str}  # the word is a value of this setting
    return {"type": {bool: truth, int: number(int), float: number(float)}.get(kind, text)}


def number(kind: type) -> Callable[[str], Any]:
    """A reader of numbers (of texts, where ``kind`` is str) whose name says in argparse's message what is expected."""

    def read(word: str) -> Any:
        return None if word.lower() == "none" else kind(word)

    read.__name__ = {int: "whole number", float: "number"}.get(kind, "text")
    return read


def whole(word: str) -> int:
    """A whole number, which must be one."""
    return int(word)


whole.__name__ = "whole number"


def text(word: str) -> str | None:
    """A text; ``none``: as if it had not been given."""
    return None if word.lower() == "none" else word


def truth(word: str) -> bool | None:
    """``true`` or ``yes``, ``false`` or ``no``; ``none``: as if it had not been given."""
    values = {"true": True, "yes": True, "false": False, "no": False, "none": None}
    if word.lower() not in values:
        raise argparse.ArgumentTypeError(f"must be true or false, not {word!r}")
    return values[word.lower()]


class Several(argparse.Action):
    """Several values. Where any number may be given, ``none`` is none of them, else it takes back what was given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if values and all(value is None for value in values):
            values = [] if self.nargs == "*" else None
        setattr(namespace, self.dest, values)


class Table(argparse.Action):
    """``NAME VALUE NAME VALUE`` as a table, values as in TOML; what is no TOML is a text. ``none`` alone: no pairs."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        values = [] if values == ["none"] else values
        if len(values) % 2:
            raise argparse.ArgumentError(self, "needs pairs of a name and a value")
        setattr(namespace, self.dest, {name: toml_value(word) for name, word in zip(values[::2], values[1::2])})


def toml_value(word: str) -> Any:
    """``0.1``, ``true``, ``[1, 2]`` as in TOML; anything else is a text."""
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
