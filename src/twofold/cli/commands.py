"""The command line: each command parses its words and calls one function.

Nothing here imports torch before a command runs, so that `--help` is there at once.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twofold.cli.words import DATA_HELP, PROTOCOLS_HELP, Parser, comparison_of, number, recipe_of
from twofold.recipe.declared import methods, spec
from twofold.recipe.recipe import check_declaration
from twofold.storage.names import clean


def show(text: str) -> None:
    """Print lines, with nothing in them that would act on a terminal."""
    print("\n".join(map(clean, text.split("\n"))))


def parser_of(
    command: Callable[[Sequence[str]], None],
    name: str,
    *,
    run: bool = False,
    backbone: bool = False,
    device: bool = False,
) -> Parser:
    """A command's parser, its help headed by the command's docstring."""
    parser = Parser(f"twofold {name}", command.__doc__ or "")
    if run:
        parser.add_argument("run", metavar="RUN", type=Path, help="the run directory")
    if backbone:
        known = "a run directory, a file of weights, or a timm model, which comes with its published weights"
        parser.add_argument("what", metavar="RUN", help=known)
        parser.add_argument("--backbone", metavar="NAME", help="of a file of weights, the timm model that they are of")
    if device:
        parser.add_argument(
            "--device", choices=("cpu", "cuda", "mps"), help="where to compute; none: a GPU if there is one"
        )
    return parser


Command = Callable[[Sequence[str]], None]


# -- commands ---------------------------------------------------------------------------------------------------------


def pretrain(words: Sequence[str]) -> None:
    """Learn a backbone from images without labels; goes on by itself where it was stopped."""
    wanted = recipe_of(words, pretrain.__doc__ or "")

    from twofold.training.log import terminal
    from twofold.training.loop import train

    show(clean(str(train(wanted, terminal()).path)))


def evaluate(words: Sequence[str]) -> None:
    """Measure a run's backbone on labelled images, beside the untrained one and raw pixels."""
    parser = parser_of(evaluate, "evaluate", backbone=True, device=True)
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=f"{DATA_HELP}, with labels; none: those of the pretraining"
    )
    parser.add_argument("--protocols", default="knn,linear", help=f"any of {PROTOCOLS_HELP}, with commas")
    baselines = "to compare with, with commas: timm models with their published weights, or run directories"
    parser.add_argument("--baseline", default="", metavar="NAMES", help=baselines)
    seed = "decides the draws of labels, what is held out to choose by, first weights"
    parser.add_argument("--seed", type=number(int), default=0, help=seed)
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.encoding.backbones import run_of
    from twofold.evaluation.evaluate import evaluate as measure
    from twofold.training.log import progress

    with progress() as tell:
        result = measure(**asked, tell=tell)
    show(tables.evaluation(result))
    if run := run_of(asked["what"]):
        show(clean(f"wrote {run.path / 'evaluation.json'}"))


def embed(words: Sequence[str]) -> None:
    """Write one vector an image, or a patch: the pretrained backbone's features.

    Killed at any moment and given again, the command goes on: pieces that are done are in FILE.partial.
    """
    parser = parser_of(embed, "embed", backbone=True, device=True)
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    file = "NAME.parquet (path, label, vector), or NAME.npy with NAME.index.csv (path, label)"
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=file)
    places = "a vector for each patch of each image, with its row, column and centre x, y in pixels of the image"
    parser.add_argument("--patches", action="store_true", help=places)
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.outputs.embed import embed as write
    from twofold.training.log import progress

    with progress() as tell:
        written = write(**asked, tell=tell, together=True)
    show(tables.written(written))


def diagnose(words: Sequence[str]) -> None:
    """Say whether a run has collapsed, how, since when, why, and what to try; measure it without labels.

    Exit code 3 if it has collapsed or diverged, or there is nothing in the images; features that are merely worse than
    those at the start are said.
    """
    parser = parser_of(diagnose, "diagnose", backbone=True, device=True)
    parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; none: that of the pretraining")
    parser.add_argument("--images", type=number(int), default=1000, help="measure on at most so many, always the same")
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.diagnosis.causes import FORGETTING, WORSE
    from twofold.diagnosis.diagnose import diagnose as examine
    from twofold.encoding.backbones import run_of
    from twofold.training.log import progress

    with progress() as tell:
        result = examine(**asked, tell=tell)
    show(tables.diagnosis(result))
    if run := run_of(asked["what"]):
        show(clean(f"wrote {run.path / 'diagnosis.json'}"))
    if {finding["name"] for finding in result["findings"]} - {WORSE, FORGETTING}:
        sys.exit(3)


def compare(words: Sequence[str]) -> None:
    """Give several methods the same compute, measure them the same way, and show it on one page."""
    wanted = comparison_of(words, compare.__doc__ or "")

    from twofold.cli import tables
    from twofold.comparison.compare import compare as carry_out

    show(tables.comparison(carry_out(**wanted)))
    show(clean(f"wrote {wanted['out'] / 'compare.json'} and {wanted['out'] / 'compare.html'}"))


def report(words: Sequence[str]) -> None:
    """Write report.html: one page that shows the run, with nothing to load from elsewhere."""
    parser = parser_of(report, "report", run=True, device=True)
    parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; none: that of the pretraining")
    parser.add_argument("--points", type=number(int), default=50_000, help="images on the map, at most")
    shown = "channels shown as red, green, blue, or the one shown, counted from 1; none: the first three, or the first"
    parser.add_argument("--bands", type=number(int), nargs="+", metavar="BAND", help=shown)
    asked = parser.read(words)

    from twofold.page.report import report as write
    from twofold.training.log import progress

    with progress() as tell:
        path = write(**asked, tell=tell)
    show(clean(f"wrote {path}"))


def export(words: Sequence[str]) -> None:
    """Write the backbone for other programs: timm, torchvision or ONNX."""
    parser = parser_of(export, "export", backbone=True)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--format", choices=("timm", "torchvision", "onnx"), default="timm", help="whose names the weights have"
    )
    asked = parser.read(words)

    from twofold.outputs.export import export as write

    show(write(**asked))


def scan(words: Sequence[str]) -> None:
    """Decode every image once and list those that cannot be read. Exit code 1 if there are any."""
    parser = parser_of(scan, "scan")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--threads", type=number(int), default=4, help="images decoded at once")
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.data.scan import scan as look

    found = look(**asked)
    for split, result in found.items():
        show(tables.scanned(split if len(found) > 1 else "", result))
    if any(result.bad for result in found.values()):
        sys.exit(1)


def pack(words: Sequence[str]) -> None:
    """Write images as tar shards in the naming of WebDataset; goes on by itself where it was stopped."""
    parser = parser_of(pack, "pack")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="the folder of the shards")
    smaller = "the longer side of an image has at most so many pixels; none: files are copied as they are"
    parser.add_argument("--longest", metavar="PIXELS", type=number(int), help=smaller)
    parser.add_argument("--shard-mib", metavar="MIB", type=number(int), default=256, help="a shard has at most so many")
    parser.add_argument("--threads", type=number(int), default=4, help="images read at once")
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.outputs.pack import pack as write
    from twofold.training.log import progress

    with progress() as tell:
        written = write(**asked, tell=tell)
    show(tables.packed(written))


def show_methods(words: Sequence[str]) -> None:
    """What methods there are; with a name that one's parts, options and paper."""
    parser = parser_of(show_methods, "methods")
    parser.add_argument("name", metavar="NAME", nargs="?", help="one method, also as package.module:Class")
    name = parser.read(words)["name"]

    from twofold.cli import tables

    if name:
        check_declaration(spec(name))
    show(tables.method(spec(name)) if name else tables.overview([spec(each) for each in methods()]))


def show_claims(words: Sequence[str]) -> None:
    """What a lecture on joint embedding claims, as experiments: lists them, or carries out those named.

    Without numbers: each claim with the verdict of its last result, in --out or that came with twofold.
    """
    parser = parser_of(show_claims, "claims")
    parser.add_argument("which", metavar="N", nargs="*", help="numbers of claims to carry out, or all")
    parser.add_argument("--data", default="digits", help=f"{DATA_HELP}, with labels")
    files = "folder for results.json, figure.svg and index.html of each claim"
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("runs/claims"), help=files)
    parser.add_argument("--seeds", type=number(int), default=3, help="runs of each experiment")
    parser.add_argument("--full", action="store_true", help="train four times as long")
    parser.add_argument("--steps", type=number(int), help="of every training, to try it out; none: as each claim needs")
    asked = parser.read(words)
    which, out = asked.pop("which"), asked.pop("out")

    from twofold.claims.base import all_claims, chosen
    from twofold.claims.page import write_claim, write_page
    from twofold.claims.results import carry_out, stored
    from twofold.cli import experiments
    from twofold.training.log import progress

    if not which:
        print(experiments.overview([(claim, stored(claim.number, out)) for claim in all_claims().values()]))
        return
    found = []
    for claim in chosen(which, photographs=asked["data"] != "digits"):
        with progress() as tell:
            result = carry_out(claim, out, **asked, tell=tell)
        found.append((claim, [result]))
        folder = write_claim(out, claim, result)
        print(experiments.outcome(claim, result))
        print(f"wrote {folder / 'results.json'}, figure.svg and index.html")
    if len(found) > 1:
        write_page(out / "index.html", "Claims as experiments", found)
        print(f"wrote {out / 'index.html'}")


COMMANDS: dict[str, Command] = {
    "pretrain": pretrain,
    "evaluate": evaluate,
    "diagnose": diagnose,
    "compare": compare,
    "embed": embed,
    "report": report,
    "export": export,
    "scan": scan,
    "pack": pack,
    "methods": show_methods,
    "claims": show_claims,
}

SHARED = ("pretrain", "embed")
"""Commands that several processes, as of a `torchrun` launch, share the work of."""
