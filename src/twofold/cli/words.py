"""A run's settings as words of a command line: typed, with help and defaults, after the method and recipe they name.

Nothing here imports torch.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import io
import itertools
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from twofold import methods
from twofold.errors import UsageError
from twofold.recipe import recipe, toml
from twofold.recipe import settings as declared
from twofold.recipe.recipe import Recipe

DATA_HELP = "folder, tar shards, Parquet, .npz, .npy, digits, torchvision:NAME or hf:owner/name"
PROTOCOLS_HELP = "knn, linear, mlp, finetune, fewshot, clusters, retrieval"


def recipe_of(argv: Sequence[str], about: str) -> Recipe:
    """The recipe that the words after `twofold pretrain` stand for; ``about`` heads its help.

    The options are typed after the method and the recipe file that the words name.
    """
    known, _ = first_look(argv)
    base = toml.read(Path(known.recipe)) if known.recipe else {}
    defaults = recipe.make(**{**base, **({"method": known.method} if known.method else {})})
    spec = methods.spec(defaults.method)
    run = options_type(recipe.Recipe, defaults, declared.documented(recipe.Recipe), skip=("data", "method"))
    augment = options_type(recipe.Augment, defaults.augment, declared.documented(recipe.Augment))
    method = options_type(spec.options, defaults.options, spec.help)
    data = Annotated[str, arg(help=DATA_HELP, metavar="DATA")]
    file = Annotated[Path | None, arg(help="start from this recipe, e.g. runs/cats/recipe.toml", metavar="FILE")]
    name = Annotated[str, arg(help=f"what to learn by: {', '.join(methods.TABLE)}", metavar="NAME")]
    kinds = {
        k: v for owner in (recipe.Recipe, recipe.Augment, spec.options) for k, v in declared.types_of(owner).items()
    }
    groups = {"run": run, "augmentation": augment, spec.name: method}
    given = dataclasses.field(**({"default": base["data"]} if "data" in base else {}))
    command = dataclasses.make_dataclass(
        "pretrain",
        [
            ("data", Positional[data], given),
            ("method", name, dataclasses.field(default=defaults.method)),
            ("recipe", file, dataclasses.field(default=None)),
            *((title, kind, dataclasses.field(default=kind())) for title, kind in groups.items()),
        ],
    )
    command.__doc__ = about
    parsed = parse(command, argv, "twofold pretrain")
    settings = {key: value for title in groups for key, value in vars(getattr(parsed, title)).items()}
    given = typed({name: settings[name] for name in said_in(argv) & settings.keys()}, kinds)
    return recipe.make(**{**base, **given, "method": parsed.method, "data": parsed.data})


def comparison_of(argv: Sequence[str], about: str) -> dict[str, Any]:
    """What the words after `twofold compare` stand for: arguments of `comparison.compare`."""
    own = ("data", "method", "out", "seed")
    run = options_type(recipe.Recipe, Recipe(), declared.documented(recipe.Recipe), skip=own)
    augment = options_type(recipe.Augment, recipe.Augment(), declared.documented(recipe.Augment))
    kinds = {**declared.types_of(recipe.Recipe), **declared.types_of(recipe.Augment)}
    names = Annotated[str, arg(help="names with commas; the first one's epochs set the compute that all get")]
    folder = Annotated[Path, arg(help="folder of the runs, compare.json and compare.html", metavar="FOLDER")]
    protocols = Annotated[str, arg(help=f"any of {PROTOCOLS_HELP}, with commas")]
    columns: list[Any] = [
        ("data", Positional[Annotated[str, arg(help=DATA_HELP, metavar="DATA")]]),
        ("methods", names),
        ("out", folder),
        ("seeds", Annotated[int, arg(help="runs of each method")], dataclasses.field(default=1)),
        ("protocols", protocols, dataclasses.field(default="knn,linear,fewshot")),
        ("run", run, dataclasses.field(default=run())),
        ("augmentation", augment, dataclasses.field(default=augment())),
    ]
    command = dataclasses.make_dataclass("compare", columns)
    command.__doc__ = about
    parsed = parse(command, argv, "twofold compare")
    settings = {**vars(parsed.run), **vars(parsed.augmentation)}
    given = typed({name: settings[name] for name in said_in(argv) & settings.keys()}, kinds)
    return {name: getattr(parsed, name) for name in ("data", "methods", "out", "seeds", "protocols")} | given


def said_in(argv: Sequence[str]) -> set[str]:
    """The options among words; the settings that were not given may follow the data."""
    return {word.lstrip("-").partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")}


def typed(settings: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Values as a recipe has them, of those that the parser gave."""
    found = {name: value == "true" if kinds[name] is bool else value for name, value in settings.items()}
    if "backbone_arguments" in found:
        found["backbone_arguments"] = {k: toml_value(v) for k, v in found["backbone_arguments"].items()}
    return found


def first_look(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """--method and --recipe among words whose other options are not known yet."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--method", nargs="?")
    parser.add_argument("--recipe", nargs="?")
    return parser.parse_known_args(argv)


def options_type(owner: type, values: Any, texts: dict[str, str], skip: Sequence[str] = ()) -> type:
    """A dataclass for the parser: the settings ``owner`` declares, defaults from ``values``, help from ``texts``."""
    columns: list[Any] = []
    kind: Any
    for name, kind in declared.types_of(owner).items():
        if name in skip:
            continue
        value = getattr(values, name)
        if isinstance(value, dict):
            kind, value = dict[str, str], {key: toml.value_text(v) for key, v in value.items()}
        if kind is bool:
            kind, value = Literal["true", "false"], toml.value_text(value)
        default = dataclasses.field(default_factory=functools.partial(copy.copy, value))
        columns.append((name, Annotated[kind, arg(help=texts[name])], default))
    made = dataclasses.make_dataclass(owner.__name__, columns, frozen=True)
    made.__doc__ = " "  # else the parser prints the generated signature
    return made


def toml_value(text: str) -> Any:
    """``0.1``, ``true``, ``[1, 2]`` as in TOML; anything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse(target: Callable[..., Any], argv: Sequence[str], program: str) -> Any:
    """Fill a function's or a dataclass's parameters from words, and call it.

    Raises:
        UsageError: in one line, where the parser's own message is a box of several.
    """

    @functools.wraps(target)
    def later(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(target, *args, **kwargs)

    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            call = tyro.cli(later, args=argv, prog=program, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as end:
        if not end.code:
            raise
        raise UsageError(f"{one_line(box.getvalue())} ({program} --help)") from None
    return call()


def one_line(box: str) -> str:
    """What a parser's boxed message says, in one line."""
    lines = [line.strip(" │\n") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    message = " ".join(itertools.takewhile(lambda line: not line.startswith("─"), lines))
    close = re.search(r"Perhaps you meant:\W*(--[\w-]+)", " ".join(lines))
    return message.rstrip(".") + (f"; did you mean {close[1]}?" if close else "")
