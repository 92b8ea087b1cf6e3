"""Images that belong together, as those of one patient or one place: whole groups are held out for testing."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from twofold.errors import UsageError

PARTS = 5
"""Groups are divided into so many parts with like shares of each class, of which one is held out for testing."""
OTHERWISE = "call the column of groups otherwise to hold out single images"


def held_out(labels: Sequence[int], groups: Sequence[str], name: str) -> tuple[list[int], list[int], str]:
    """The numbers of the images to train on and of those to test on, and in words how they were told apart.

    Of images in groups about every fifth group is for testing. The groups are divided by scikit-learn's
    `StratifiedGroupKFold`; of its parts it is one with the most classes that can be learned and tested, and of these
    the one nearest to a fifth of the images. Of images without a group every fifth one is for testing.

    Args:
        labels: the class of each image, [N].
        groups: the group of each image, [N]; an empty text: none.
        name: what has them.

    Raises:
        UsageError: if there are too few groups, or fewer than two of several classes could be tested.
    """
    grouped = [number for number, group in enumerate(groups) if group]
    single = [number for number, group in enumerate(groups) if not group]
    own, of = [groups[number] for number in grouped], np.asarray([labels[number] for number in grouped])
    parts = min(PARTS, len(set(own)), max(Counter(of.tolist()).values(), default=0))
    if parts < 2:
        raise UsageError(f"{name} has one group, or an image a class, so no group can be held out: {OTHERWISE}")
    with warnings.catch_warnings():  # of classes with fewer images than parts, which are counted here
        warnings.simplefilter("ignore", UserWarning)
        folds = list(StratifiedGroupKFold(parts).split(of, of, own))
    known = [len(np.intersect1d(of[train], of[test])) for train, test in folds]
    best = max(range(parts), key=lambda fold: (known[fold], -abs(len(folds[fold][1]) - len(own) / PARTS)))
    train, test = ([grouped[place] for place in part] for part in folds[best])
    tested = len({groups[number] for number in test})
    test += single[PARTS - 1 :: PARTS]
    train += [number for place, number in enumerate(single) if place % PARTS != PARTS - 1]
    if len({labels[number] for number in train} & {labels[number] for number in test}) < min(2, len(set(labels))):
        raise UsageError(f"groups in {name} have too few classes in common to hold some of them out: {OTHERWISE}")
    others = ", and every fifth image without a group" if single else ""
    how = f"the images of {tested} of {len(set(own))} groups held out for testing{others}; if pretraining saw them, "
    return sorted(train), sorted(test), f"{how}then without labels{apart(labels, train, test)}"


def apart(labels: Sequence[int], train: Sequence[int], test: Sequence[int]) -> str:
    """What is to be said of classes that are in one part alone."""
    learned, tested = ({labels[number] for number in part} for part in (train, test))
    alone = {"cannot be tested": learned - tested, "cannot be learned": tested - learned}
    said = [f"{len(classes)} {what}" for what, classes in alone.items() if classes]
    return f"; of {len(set(labels))} classes, {' and '.join(said)}, as too few groups have them" if said else ""


def in_both(train: Sequence[str] | None, test: Sequence[str] | None) -> str:
    """What is to be said of groups that have images in a training and in a test part."""
    both = len(set(train or ()) & set(test or ()) - {""})
    have = "1 group has" if both == 1 else f"{both} groups have"
    return f"; {have} images in both parts, so scores may be too high" if both else ""
