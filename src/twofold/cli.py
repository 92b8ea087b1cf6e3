"""The command line: each command parses its words and calls one function.

Nothing here imports torch before a command runs, so that `--help` is there at once.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import io
import itertools
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from twofold import __version__, methods, recipe, toml
from twofold import settings as declared
from twofold.errors import Collapsed, Diverged, UsageError, nearest

DATA_HELP = "folder, tar shards, Parquet, .npz, .npy, digits, torchvision:NAME or hf:owner/name"
VECTORS_HELP = "vectors.parquet (path, label, vector), or vectors.npy with vectors.index.csv (path, label)"
Data = Positional[Annotated[str, arg(help=DATA_HELP)]]
RunDirectory = Positional[Annotated[Path, arg(help="the run directory", metavar="RUN")]]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], arg(help="where to compute")]


def main(words: Sequence[str] | None = None) -> None:
    """Run one command. Exit code 0: done; 2: wrong usage or input; 3: diverged or collapsed; 1: anything else."""
    argv = list(sys.argv[1:] if words is None else words)
    try:
        dispatch(argv)
    except UsageError as error:
        print(f"twofold: {error}", file=sys.stderr)
        sys.exit(2)
    except (Diverged, Collapsed) as error:
        print(f"twofold: {error}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(1)


def dispatch(argv: list[str]) -> None:
    """Parse a line of words and call what it names."""
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
    elif argv[0] == "--version":
        print(__version__)
    elif argv[0] not in COMMANDS:
        raise UsageError(f"there is no command {argv[0]!r}{nearest(argv[0], COMMANDS)} (twofold --help)")
    elif argv[0] == "pretrain":
        pretrain(argv[1:])
    else:
        name = argv[0]
        parse(COMMANDS[name], argv[1:], f"twofold {name}")


def overview() -> str:
    rows = [f"  {name:10}{(function.__doc__ or '').splitlines()[0]}" for name, function in COMMANDS.items()]
    return "\n".join(
        [
            "usage: twofold COMMAND ...",
            "",
            "Learn image representations without labels, measure them, use them.",
            "",
            *rows,
            "",
            "twofold COMMAND --help says more; twofold pretrain --method NAME --help lists that method's options.",
        ]
    )


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


# -- commands ---------------------------------------------------------------------------------------------------------


def pretrain(argv: Sequence[str]) -> None:
    """Learn a backbone from images without labels; goes on by itself where it was stopped."""
    # The options are typed after the method and the recipe file that the words name.
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
    command.__doc__ = pretrain.__doc__
    parsed = parse(command, argv, "twofold pretrain")
    settings = {key: value for title in groups for key, value in vars(getattr(parsed, title)).items()}
    settings = {k: v == "true" if kinds[k] is bool else v for k, v in settings.items()}
    settings["backbone_arguments"] = {k: toml_value(v) for k, v in settings["backbone_arguments"].items()}
    said = {word.lstrip("-").partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")}
    given = {name: value for name, value in settings.items() if name in said}  # what was not may follow the data
    wanted = recipe.make(**{**base, **given, "method": parsed.method, "data": parsed.data})

    from twofold.log import terminal
    from twofold.train import train

    print(train(wanted, terminal()).path)


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


def evaluate(
    run: RunDirectory,
    data: Positional[Annotated[str, arg(help=f"{DATA_HELP}, with labels; else those of the pretraining")]] = "",
    protocols: Annotated[
        str, arg(help="any of knn, linear, mlp, finetune, fewshot, clusters, retrieval, with commas")
    ] = "knn,linear",
    baseline: Annotated[
        str, arg(help="to compare with: timm models, with their published weights, or run directories, with commas")
    ] = "",
    seed: Annotated[int, arg(help="decides the draws of labels, what is held out to choose by, first weights")] = 0,
    device: Device = "auto",
) -> None:
    """Measure a run's backbone on labelled images, beside the untrained one and raw pixels."""
    from twofold import tables
    from twofold.evaluation.protocols import evaluate

    with tables.progress() as tell:
        result = evaluate(run, data or None, protocols, device, tell, baseline=baseline, seed=seed)
    print(tables.evaluation(result))
    print(f"wrote {run / 'evaluation.json'}")


def embed(
    run: RunDirectory,
    data: Data,
    out: Annotated[Path, arg(help=VECTORS_HELP, metavar="FILE")],
    device: Device = "auto",
) -> None:
    """Write one vector an image: the pretrained backbone's features.

    Killed at any moment and given again, the command goes on: pieces that are done are in FILE.partial.
    """
    from twofold import tables
    from twofold.embedding import embed

    with tables.progress() as tell:
        written = embed(run, data, out, device, tell)
    print(tables.written(written))


def diagnose(
    run: RunDirectory,
    data: Positional[Annotated[str, arg(help=f"{DATA_HELP}; else that of the pretraining")]] = "",
    images: Annotated[int, arg(help="measure on at most so many, always the same")] = 1000,
    device: Device = "auto",
) -> None:
    """Say whether a run has collapsed, how, since when, why, and what to try; measure it without labels."""
    from twofold import tables
    from twofold.diagnosis.checkup import diagnose

    if images < 2:
        raise UsageError(f"images must be at least 2, not {images}")
    with tables.progress() as tell:
        result = diagnose(run, data or None, images, device, tell)
    print(tables.diagnosis(result))
    print(f"wrote {run / 'diagnosis.json'}")


def report(
    run: RunDirectory,
    points: Annotated[int, arg(help="images on the map, at most")] = 50_000,
    device: Device = "auto",
) -> None:
    """Write report.html: one page that shows the run, with nothing to load from elsewhere."""
    from twofold import tables
    from twofold.page.report import report

    with tables.progress() as tell:
        path = report(run, points, device, tell)
    print(f"wrote {path}")


def export(
    run: RunDirectory,
    out: Annotated[Path, arg(help="the file to write", metavar="FILE")],
    format: Annotated[Literal["timm", "torchvision", "onnx"], arg(help="whose names the weights have")] = "timm",
) -> None:
    """Write the backbone for other programs: timm, torchvision or ONNX."""
    from twofold.export import export

    print(export(run, out, format))


def scan(
    data: Data,
    threads: Annotated[int, arg(help="images decoded at once")] = 4,
) -> None:
    """Decode every image once and list those that cannot be read. Exit code 1 if there are any."""
    from twofold.data import open_data
    from twofold.data.scan import scan

    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    found = {"train": scan(open_data(data).train, threads)}
    if (test := open_data(data).test) is not None:
        found["test"] = scan(test, threads)
    from twofold import tables

    for part, result in found.items():
        print(tables.scanned(part if len(found) > 1 else "", result))
    if any(result.bad for result in found.values()):
        sys.exit(1)


def show_methods(name: Positional[Annotated[str, arg(help="one method", metavar="NAME")]] = "") -> None:
    """What methods there are; with a name that one's parts, options and paper."""
    from twofold import tables

    print(tables.method(methods.spec(name)) if name else tables.overview([methods.spec(n) for n in methods.TABLE]))


COMMANDS: dict[str, Callable[..., None]] = {
    "pretrain": pretrain,
    "evaluate": evaluate,
    "diagnose": diagnose,
    "embed": embed,
    "report": report,
    "export": export,
    "scan": scan,
    "methods": show_methods,
}
