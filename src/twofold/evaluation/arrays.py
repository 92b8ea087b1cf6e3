"""Features and labels as anybody has them, NumPy or torch, checked and put into the form that probes take."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twofold.data.masks import IGNORED
from twofold.encoding.extract import Features
from twofold.errors import UsageError
from twofold.evaluation.split import every_fifth, untested
from twofold.measures import as_embeddings

Array = Tensor | np.ndarray
Labels = Array | Sequence[int] | Sequence[str]

GIVEN = "the test features that were given"
HELD_OUT = "every fifth row of each class held out for testing"
ONE_CLASS = "the labels are all of one class: there is nothing to tell apart"


def as_splits(
    train: object, train_labels: object, test: object = None, test_labels: object = None
) -> tuple[Features, Features, list[str], str]:
    """Training and test features, the classes' names, and in words where the test features are from.

    Args:
        train: float [N, D].
        train_labels: [N], whole numbers or texts.
        test: float [M, D]; None: every fifth row of each class is held out.
        test_labels: [M], as the training labels.

    Raises:
        UsageError: if these are no features or labels, do not go together, or are all of one class.
    """
    values = _values(train, "features")
    if test is None:
        if test_labels is not None:
            raise UsageError("test_labels are of no use without test, the features they belong to")
        (labels,), classes = number_labels({"labels": (train_labels, len(values))})
        numbers = every_fifth(labels.tolist(), "the labels")
        how = HELD_OUT + untested(labels.tolist(), numbers[1])
        fitting, asked = map(torch.tensor, numbers)
        splits = (values[fitting], labels[fitting]), (values[asked], labels[asked])
    else:
        rows = _values(test, "test features")
        if rows.shape[1] != values.shape[1]:
            raise UsageError(f"features of {values.shape[1]} numbers cannot be tested on {rows.shape[1]} numbers each")
        given = {"labels": (train_labels, len(values)), "test labels": (test_labels, len(rows))}
        (labels, truth), classes = number_labels(given)
        splits, how = ((values, labels), (rows, truth)), GIVEN
    if len(labels.unique()) < 2:
        raise UsageError(ONE_CLASS)
    first, second = (Features(x, list(range(len(x))), y) for x, y in splits)
    return first, second, classes, how


def as_few(labelled: object, labels: object, others: object) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Features [n, D] and class numbers [n] of images that have a label, features [M, D] of others; the classes' names.

    Raises:
        UsageError: if these are no features or labels, do not go together, or are all of one class.
    """
    values, rest = _values(labelled, "features"), _values(others, "other features")
    if rest.shape[1] != values.shape[1]:
        raise UsageError(f"features of {values.shape[1]} numbers say nothing of others of {rest.shape[1]} numbers each")
    (numbers,), classes = number_labels({"labels": (labels, len(values))})
    if len(classes) < 2:
        raise UsageError(ONE_CLASS)
    return values, numbers, rest, classes


def _values(features: object, what: str) -> Tensor:
    return as_embeddings(features, what, rows=1).detach().float().cpu()


def as_maps(features: object, masks: object, what: str) -> tuple[Tensor, list[Tensor]]:
    """Features of patches, float32 [N, h, w, D], and N masks, uint8 [H, W]; ``what`` they are called in messages.

    Raises:
        UsageError: if they are of another shape or kind, or not as many.
    """
    if not isinstance(features, Tensor | np.ndarray) or len(features.shape) != 4:
        shape = f" {list(features.shape)}" if isinstance(features, Tensor | np.ndarray) else ""
        kind = type(features).__name__
        raise UsageError(f"the {what} features must be maps of patches, float [N, h, w, D], not {kind}{shape}")
    values = torch.as_tensor(features).detach().float().cpu()
    if not values.isfinite().all():
        raise UsageError(f"the {what} features hold values that are not finite")
    if not isinstance(masks, Tensor | np.ndarray | Sequence) or len(masks) != len(values):
        count = f"{len(masks)} masks" if isinstance(masks, Tensor | np.ndarray | Sequence) else type(masks).__name__
        raise UsageError(f"{len(values)} {what} maps of features with {count}: each needs a mask, whole numbers [H, W]")
    return values, [_mask(mask, what) for mask in masks]


def _mask(mask: object, what: str) -> Tensor:
    array = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    if array.ndim != 2 or array.dtype.kind not in "biu":
        raise UsageError(f"a {what} mask must hold whole numbers [H, W], not {array.dtype} {list(array.shape)}")
    if array.size and (array.min() < 0 or array.max() > IGNORED):
        raise UsageError(
            f"a {what} mask holds {array.min()} to {array.max()}; classes are 0 to 254, {IGNORED} is ignored"
        )
    return torch.from_numpy(array.astype(np.uint8))


def number_labels(given: dict[str, tuple[object, int]]) -> tuple[list[Tensor], list[str]]:
    """Class numbers, int64, of several lists of labels, and the classes' names, sorted.

    ``given``: by what they are called, the labels and how many there must be.

    Raises:
        UsageError: if they are neither whole numbers nor texts, or there are more or fewer.
    """
    arrays = []
    for what, (labels, count) in given.items():
        if labels is None:
            raise UsageError(f"{what} are needed, one for each row of the features")
        array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
        if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.ravel()):
            array = array.astype(str)
        if array.ndim != 1 or array.dtype.kind not in "biuU":
            kind = f"{array.dtype} {list(array.shape)}"
            raise UsageError(f"{what} must be one whole number or text for each row of the features, not {kind}")
        if len(array) != count:
            raise UsageError(f"{count} rows of features with {len(array)} {what}")
        arrays.append(array)
    if len({array.dtype.kind == "U" for array in arrays}) > 1:
        raise UsageError("labels must all be whole numbers, or all be texts")
    names, numbers = np.unique(np.concatenate(arrays), return_inverse=True)
    lists = torch.from_numpy(numbers.astype(np.int64)).split([len(array) for array in arrays])
    return list(lists), [str(name) for name in names]
