"""The command line: each command parses its words and calls one function.

Nothing here imports torch before a command runs, so that `--help` is there at once.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from twofold import __version__, methods
from twofold.cli.words import DATA_HELP, PROTOCOLS_HELP, comparison_of, parse, recipe_of
from twofold.errors import Collapsed, Diverged, UsageError, did_you_mean

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
        raise UsageError(f"there is no command {argv[0]!r}{did_you_mean(argv[0], COMMANDS)} (twofold --help)")
    elif argv[0] == "pretrain":
        pretrain(argv[1:])
    elif argv[0] == "compare":
        compare(argv[1:])
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


# -- commands ---------------------------------------------------------------------------------------------------------


def pretrain(argv: Sequence[str]) -> None:
    """Learn a backbone from images without labels; goes on by itself where it was stopped."""
    wanted = recipe_of(argv, pretrain.__doc__ or "")

    from twofold.training.log import terminal
    from twofold.training.loop import train

    print(train(wanted, terminal()).path)


def evaluate(
    run: RunDirectory,
    data: Positional[Annotated[str, arg(help=f"{DATA_HELP}, with labels; else those of the pretraining")]] = "",
    protocols: Annotated[str, arg(help=f"any of {PROTOCOLS_HELP}, with commas")] = "knn,linear",
    baseline: Annotated[
        str, arg(help="to compare with: timm models, with their published weights, or run directories, with commas")
    ] = "",
    seed: Annotated[int, arg(help="decides the draws of labels, what is held out to choose by, first weights")] = 0,
    device: Device = "auto",
) -> None:
    """Measure a run's backbone on labelled images, beside the untrained one and raw pixels."""
    from twofold.cli import tables
    from twofold.evaluation.evaluate import evaluate

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
    from twofold.cli import tables
    from twofold.outputs.embed import embed

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
    from twofold.cli import tables
    from twofold.diagnosis.diagnose import diagnose

    if images < 2:
        raise UsageError(f"images must be at least 2, not {images}")
    with tables.progress() as tell:
        result = diagnose(run, data or None, images, device, tell)
    print(tables.diagnosis(result))
    print(f"wrote {run / 'diagnosis.json'}")


def compare(argv: Sequence[str]) -> None:
    """Give several methods the same compute, measure them the same way, and show it on one page."""
    wanted = comparison_of(argv, compare.__doc__ or "")

    from twofold.cli import tables
    from twofold.comparison.compare import compare as carry_out

    print(tables.comparison(carry_out(**wanted)))
    print(f"wrote {wanted['out'] / 'compare.json'} and {wanted['out'] / 'compare.html'}")


def report(
    run: RunDirectory,
    points: Annotated[int, arg(help="images on the map, at most")] = 50_000,
    device: Device = "auto",
) -> None:
    """Write report.html: one page that shows the run, with nothing to load from elsewhere."""
    from twofold.cli import tables
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
    from twofold.outputs.export import export

    print(export(run, out, format))


def scan(
    data: Data,
    threads: Annotated[int, arg(help="images decoded at once")] = 4,
) -> None:
    """Decode every image once and list those that cannot be read. Exit code 1 if there are any."""
    from twofold.cli import tables
    from twofold.data.scan import scan

    found = scan(data, threads)
    for part, result in found.items():
        print(tables.scanned(part if len(found) > 1 else "", result))
    if any(result.bad for result in found.values()):
        sys.exit(1)


def show_methods(name: Positional[Annotated[str, arg(help="one method", metavar="NAME")]] = "") -> None:
    """What methods there are; with a name that one's parts, options and paper."""
    from twofold.cli import tables

    print(tables.method(methods.spec(name)) if name else tables.overview([methods.spec(n) for n in methods.TABLE]))


COMMANDS: dict[str, Callable[..., None]] = {
    "pretrain": pretrain,
    "evaluate": evaluate,
    "diagnose": diagnose,
    "compare": compare,
    "embed": embed,
    "report": report,
    "export": export,
    "scan": scan,
    "methods": show_methods,
}
