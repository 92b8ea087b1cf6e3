"""`twofold.label`: classes for images that have none, from a few that have one."""

import csv
import io
from pathlib import Path

from twofold.errors import UsageError
from twofold.evaluation.transductive import Labelled, label_the_rest
from twofold.outputs import vectors
from twofold.outputs.vectors import Vectors
from twofold.storage import files

COLUMNS = ("path", "class", "probability")


def label(labelled: str | Path, others: str | Path, out: str | Path | None = None) -> Labelled:
    """The likeliest class of each image, and how likely it is, from the vectors of a few labelled images and of all.

    `twofold.probes.label_the_rest` says how they are found, and does the same for arrays. All vectors are in memory,
    with some numbers for each image and class. The time to find similar images grows with the square of their number.

    Args:
        labelled: a file that `twofold.embed` has written, of images with labels; those without one are left out.
        others: such a file of the images that are to have a class, by the same backbone. Labels in it are not used.
        out: where to write, ``NAME.csv``: for each image of ``others``, in their order, ``path``, the likeliest
            ``class`` and its ``probability``.

    Returns:
        The classes, and the probability of each for each image of ``others``.

    Raises:
        UsageError: if these are no such files, are of different backbones or of patches, there are no labels of at
            least two classes, or ``out`` belongs to one of the files.
    """
    target = files.target(out)
    if target and (target.suffix != ".csv" or target.is_dir()):
        raise UsageError(f"{target} must be a file that ends in .csv")
    if target and target in (vectors.index(Path(path)) for path in (labelled, others)):
        raise UsageError(f"{target} has the names of vectors that are read here: write to another file")
    known, rest = (_of_images(Path(path)) for path in (labelled, others))
    if known.of["backbone"] != rest.of["backbone"]:
        raise UsageError(f"{labelled} and {others} are by different backbones: embed both by the same one")
    rows = [row for row, name in enumerate(known.labels) if name is not None]
    if not rows:
        raise UsageError(
            f"no image in {labelled} has a label: embed a folder that has a folder for each class, or a table (.csv) "
            "with a column of labels"
        )
    found = label_the_rest(known.values[rows], [str(known.labels[row]) for row in rows], rest.values)
    if target:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        best = found.probabilities.max(1)
        for name, number, share in zip(rest.names, best.indices.tolist(), best.values.tolist(), strict=True):
            writer.writerow([name, found.classes[number], f"{share:.3f}"])
        files.write_text(target, text.getvalue())
    return found


def _of_images(path: Path) -> Vectors:
    """
    Raises:
        UsageError: if a file is not of vectors of images.
    """
    found = vectors.read(path)
    if found.of["rows"] != "images":
        raise UsageError(f"{path} has vectors of patches: embed the images without --patches")
    return found
