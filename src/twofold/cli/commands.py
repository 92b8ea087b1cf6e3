"""The command line: each command parses its words and calls one function.

Nothing here imports torch before a command runs, so that `--help` is there at once.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from twofold.cli.common import Command, parser_of, show
from twofold.cli.outputs import embed, export, label, pack, report, scan
from twofold.cli.words import DATA_HELP, PROTOCOLS_HELP, comparison_of, number, recipe_of, whole
from twofold.recipe.declared import methods, spec
from twofold.recipe.recipe import check_declaration
from twofold.storage.names import clean


def pretrain(words: Sequence[str]) -> None:
    """Learn a backbone from images without labels; a run that was stopped goes on where it was."""
    wanted = recipe_of(words, pretrain.__doc__ or "")

    from twofold.training.log import terminal
    from twofold.training.loop import train

    show(clean(str(train(wanted, terminal()).path)))


def evaluate(words: Sequence[str]) -> None:
    """Measure a backbone on labelled images, a run's beside the untrained one and raw pixels."""
    parser = parser_of(evaluate, "evaluate", backbone=True, device=True)
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help=f"{DATA_HELP}; they need labels, or masks; by default those of the pretraining",
    )
    parser.add_argument("--protocols", default="knn,linear", help=f"any of {PROTOCOLS_HELP}, with commas between them")
    baselines = "backbones to compare with, with commas between them: timm models or directories of runs"
    parser.add_argument("--baseline", default="", metavar="NAMES", help=baselines)
    seed = "number that decides which labels are drawn, which images are held out, and the first weights of heads"
    parser.add_argument("--seed", type=whole, default=0, help=seed)
    file = "the file to write the scores to, as JSON; if RUN is a run, by default evaluation.json in its directory"
    parser.add_argument("--out", metavar="FILE", type=Path, help=file)
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.encoding.backbones import run_of
    from twofold.evaluation.evaluate import evaluate as measure
    from twofold.training.log import progress

    with progress() as tell:
        result = measure(**asked, tell=tell, together=True)
    if not result:  # the first of several processes shows it
        return
    show(tables.evaluation(result))
    run = run_of(asked["what"])
    if written := asked["out"] or (run and run.path / "evaluation.json"):
        show(clean(f"wrote {written}"))


def diagnose(words: Sequence[str]) -> None:
    """Say whether a run has collapsed, since when, why and what to try; measure it without labels.

    The exit code is 3 if anything is found, such as a collapse, but for features that are merely worse than those at
    the start: these are reported with exit code 0.
    """
    parser = parser_of(diagnose, "diagnose", backbone=True, device=True)
    parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; by default those of the pretraining")
    parser.add_argument(
        "--images", type=whole, default=1000, help="how many images to measure on at most, always the same ones"
    )
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.diagnosis.causes import BEHIND
    from twofold.diagnosis.diagnose import diagnose as examine
    from twofold.encoding.backbones import run_of
    from twofold.training.log import progress

    with progress() as tell:
        result = examine(**asked, tell=tell)
    show(tables.diagnosis(result))
    if run := run_of(asked["what"]):
        show(clean(f"wrote {run.path / 'diagnosis.json'}"))
    if {finding["name"] for finding in result["findings"]} - BEHIND:
        sys.exit(3)


def compare(words: Sequence[str]) -> None:
    """Give several methods the same compute, measure them alike, and show the results on one page."""
    wanted = comparison_of(words, compare.__doc__ or "")

    from twofold.cli import tables
    from twofold.comparison.compare import compare as carry_out

    show(tables.comparison(carry_out(**wanted)))
    show(clean(f"wrote {wanted['out'] / 'compare.json'} and {wanted['out'] / 'compare.html'}"))


def show_methods(words: Sequence[str]) -> None:
    """List the methods; with a name, show that method's parts, options and paper."""
    parser = parser_of(show_methods, "methods")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a method's name, or package.module:Class")
    name = parser.read(words)["name"]

    from twofold.cli import tables

    if name:
        check_declaration(spec(name))
    show(tables.method(spec(name)) if name else tables.overview([spec(each) for each in methods()]))


def show_claims(words: Sequence[str]) -> None:
    """List what a lecture on joint embedding claims, or carry out the experiments that test it.

    Without numbers each claim is listed with the verdict of its last result, in --out or as it came with twofold.
    """
    parser = parser_of(show_claims, "claims")
    parser.add_argument("which", metavar="N", nargs="*", help="the numbers of the claims to carry out, or all")
    parser.add_argument("--data", default="digits", help=f"{DATA_HELP}; they need labels")
    files = "the folder to write results.json, figure.svg and index.html of each claim to"
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("runs/claims"), help=files)
    parser.add_argument("--seeds", type=whole, default=3, help="how many runs each experiment has")
    parser.add_argument("--full", action="store_true", help="train four times as long")
    parser.add_argument(
        "--steps",
        type=number(int),
        help="steps of every training, to try it out; by default as many as each claim needs",
    )
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
    "label": label,
    "report": report,
    "export": export,
    "scan": scan,
    "pack": pack,
    "methods": show_methods,
    "claims": show_claims,
}

SHARED = ("pretrain", "evaluate", "compare", "embed")
"""Commands that several processes, as of a `torchrun` launch, share the work of."""
