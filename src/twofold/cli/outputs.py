"""Commands that make something of images and backbones: vectors, classes, a page, a file of weights, shards."""

import sys
from collections.abc import Sequence
from pathlib import Path

from twofold.cli.common import kept_when_stopped, parser_of, show
from twofold.cli.words import DATA_HELP, number, whole
from twofold.storage.names import clean


def embed(words: Sequence[str]) -> None:
    """Write a vector for each image, or for each of its patches: the features of a backbone.

    A command that was stopped goes on when it is given again: what is done is kept in FILE.partial.
    """
    parser = parser_of(embed, "embed", backbone=True, device=True)
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    file = "the file to write: NAME.parquet (path, label, vector), or NAME.npy with NAME.index.csv (path, label)"
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=file)
    places = "write a vector for each patch, with its row, its column and its centre x, y in pixels of the image"
    parser.add_argument("--patches", action="store_true", help=places)
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.outputs.embed import embed as write
    from twofold.training.log import progress

    with kept_when_stopped(), progress() as tell:
        written = write(**asked, tell=tell, together=True)
    show(tables.written(written))


def label(words: Sequence[str]) -> None:
    """Give each image its likeliest class, from a few images that have a label."""
    parser = parser_of(label, "label")
    known = "vectors of labelled images, as twofold embed has written them: a .parquet or an .npy file"
    parser.add_argument("labelled", metavar="LABELLED", type=Path, help=known)
    rest = "vectors of the images that are to have a class, by the same backbone"
    parser.add_argument("others", metavar="OTHERS", type=Path, help=rest)
    file = "the file to write: NAME.csv (path, class, probability)"
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=file)
    asked = parser.read(words)

    from twofold.outputs.label import label as write

    found = write(**asked)
    images, classes = found.probabilities.shape
    show(clean(f"wrote {asked['out']}: {images} images, each in one of {classes} classes"))


def report(words: Sequence[str]) -> None:
    """Write report.html, one page that shows a run and loads nothing from elsewhere."""
    parser = parser_of(report, "report", run=True, device=True)
    parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; by default those of the pretraining")
    parser.add_argument("--points", type=whole, default=50_000, help="how many images the map shows at most")
    shown = "the three channels to show as red, green and blue, or one, counted from 1; by default the first ones"
    parser.add_argument("--bands", type=whole, nargs="+", metavar="BAND", help=shown)
    asked = parser.read(words)

    from twofold.page.report import report as write
    from twofold.training.log import progress

    with progress() as tell:
        path = write(**asked, tell=tell)
    show(clean(f"wrote {path}"))


def export(words: Sequence[str]) -> None:
    """Write a backbone as a file for other programs: timm, torchvision or ONNX."""
    parser = parser_of(export, "export", backbone=True)
    file = "the file to write, which ends in .onnx for that format and else in .safetensors"
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=file)
    parser.add_argument(
        "--format", choices=("timm", "torchvision", "onnx"), default="timm", help="the program that reads the file"
    )
    share = "of a run from weights, how much of what it has learned to write, at most 1; by default as its recipe says"
    parser.add_argument("--interpolate-weights", metavar="SHARE", type=number(float), help=share)
    asked = parser.read(words)

    from twofold.outputs.export import export as write

    show(write(**asked))


def scan(words: Sequence[str]) -> None:
    """Decode every image and mask once and list those that cannot be used; exit code 1 if there are any."""
    parser = parser_of(scan, "scan")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--threads", type=whole, default=4, help="how many images are decoded at a time")
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.data.scan import scan as look

    found = look(**asked)
    for split, result in found.items():
        show(tables.scanned(split if len(found) > 1 else "", result))
    if any(result.bad or result.bad_masks or result.missing for result in found.values()):
        sys.exit(1)


def pack(words: Sequence[str]) -> None:
    """Write images as tar shards, named as WebDataset does; a command that was stopped goes on."""
    parser = parser_of(pack, "pack")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="the folder to write the shards to")
    smaller = "scale images down so that their longer side has at most this many pixels; by default none is changed"
    parser.add_argument("--longest", metavar="PIXELS", type=number(int), help=smaller)
    parser.add_argument("--shard-mib", metavar="MIB", type=whole, default=256, help="largest size of a shard in MiB")
    parser.add_argument("--threads", type=whole, default=4, help="how many images are read at a time")
    asked = parser.read(words)

    from twofold.cli import tables
    from twofold.outputs.pack import pack as write
    from twofold.training.log import progress

    with kept_when_stopped(), progress() as tell:
        written = write(**asked, tell=tell)
    show(tables.packed(written))
