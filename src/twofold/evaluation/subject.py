"""What an evaluation measures: representations of a run, of any backbone, or features as they are, and their images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from twofold import dist
from twofold.data import unread
from twofold.data.opening import Data, DataLike, open_data
from twofold.data.sources import Source, digest
from twofold.encoding.backbones import open_backbone, remarks, unlike_pictures
from twofold.encoding.cache import Cache
from twofold.encoding.own_images import changed, images_for
from twofold.encoding.progress import Tell
from twofold.errors import UsageError
from twofold.evaluation.advice import unmeasured
from twofold.evaluation.arrays import as_splits
from twofold.evaluation.protocols import UNLABELLED
from twofold.evaluation.representations import Representation, of_backbone, of_run
from twofold.evaluation.split import splits_for
from twofold.evaluation.titles import RAW_PIXELS
from twofold.recipe.recipe import settings_of
from twofold.run import Run

MOST = 2 / 3
"""A class with such a share of the test images makes an accuracy high by itself."""


@dataclass(frozen=True)
class Subject:
    """What is measured: representations by name, in the order of the table, and the data that they are of.

    ``splits``: the images, if there are any. ``about``: what the result says of the data and of the run; ``notes``:
    what else there is to say, in sentences. ``run``: whose representations they are, if they are a run's. There are no
    representations where several processes share the work and this is not the first one.
    """

    representations: dict[str, Representation]
    splits: dict[str, Source]
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    run: Run | None = None


def run_subject(
    run: Run,
    data: DataLike,
    protocols: list[str],
    baselines: list[str],
    device: str | None,
    tell: Tell,
    together: bool,
    kept_features: Path,
) -> Subject:
    """A run's representations, of its own images unless there are ``data``; they are kept in ``kept_features``.

    Raises:
        UsageError: if the images or a baseline cannot be used, or the images lack the labels or masks that
            ``protocols`` need; this holds for `backbone_subject` too.
    """
    settings = run.recipe
    opened = images_for(run, data)
    splits, how = _splits(opened, protocols)
    caches = {split: Cache(kept_features, split, source) for split, source in splits.items()}
    fingerprints = [cache.fingerprint for cache in caches.values()]
    if together:
        _agree(fingerprints)
    found = of_run(run, caches, baselines, device, tell, together)
    about = _about(opened.name, how, found, _classes(splits["train"]), fingerprints)
    about |= {"recipe": settings_of(settings), "steps": len(run.metrics)}
    notes = (
        *opened.notes,
        *(changed(run, opened) if data is None else remarks(run.spec, opened.train)),
        *opened.changes,
        *copies(found),
        *unmeasured(settings, baselines, opened.name),
    )
    return Subject(found, splits, about, notes, run)


def backbone_subject(
    what: str | Path | Run | nn.Module,
    data: DataLike,
    protocols: list[str],
    baselines: list[str],
    device: str | None,
    tell: Tell,
    together: bool,
    **preparation: Any,
) -> Subject:
    """The features of a backbone, which `open_backbone` opens, beside raw pixels and ``baselines``."""
    encoder = open_backbone(what, device=device, **preparation)
    if data is None:
        raise UsageError("data is needed: the labelled images that the backbone is measured on")
    opened = open_data(data).of_kind(encoder.spec.channels)
    splits, how = _splits(opened, protocols)
    name = "backbone" if isinstance(what, nn.Module) else str(what)
    fingerprints = [source.fingerprint() for source in splits.values()]
    if together:
        _agree(fingerprints)
    found = of_backbone(name, encoder, splits, baselines, device, tell, together)
    about = _about(opened.name, how, found, _classes(splits["train"]), fingerprints)
    unlike = () if preparation.get("mean") is not None else unlike_pictures(what, opened.train)
    odd = (*unlike, *remarks(encoder.spec, opened.train))
    return Subject(found, splits, about, (*opened.notes, *opened.changes, *copies(found), *odd))


def features_subject(features: Tensor | np.ndarray, labels: Any, test: Any, test_labels: Any) -> Subject:
    """Features as they are; every fifth row is held out unless there are features to test on.

    Raises:
        UsageError: if these are no features or labels that go together.
    """
    train, asked, classes, how = as_splits(features, labels, test, test_labels)
    found = {"features": Representation(train, asked)}
    digests = [digest([split.values.numpy().tobytes()]) for split in (train, asked)]
    return Subject(found, {}, _about("features", how, found, classes, digests))


def copies(found: dict[str, Representation]) -> tuple[str, ...]:
    """What is said if test images look exactly as training images do, which a network need not have learned to tell."""
    if RAW_PIXELS not in found:
        return ()
    train, test = (
        [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in split.values.numpy()]
        for split in (found[RAW_PIXELS].train, found[RAW_PIXELS].test)
    )
    same = sum(map(set(train).__contains__, test))
    if not same:
        return ()
    have = "has" if same == 1 else "have"
    return (f"{same} of {len(test)} test images {have} the pixels of a training image, so scores are too high",)


def commonest(subject: Subject, classes: Sequence[str] | None) -> list[str]:
    """What is said if most of the test images are of one class: how good it would be to call all of them that.

    ``classes``: their names by number, if they have any.
    """
    labels, counts = next(iter(subject.representations.values())).test.labels.unique(return_counts=True)
    share, most = float(counts.max() / counts.sum()), int(labels[counts.argmax()])
    if not MOST <= share < 1:
        return []
    name = classes[most] if classes else str(most)
    return [f"{100 * share:.1f} % of the test images are of class {name}: so many are right if all are called that"]


def _agree(fingerprints: list[str]) -> None:
    """
    Raises:
        UsageError: if the processes of a launch find other images.
    """
    dist.same(digest(fingerprints), "all processes must measure the same images")


def _splits(data: Data, protocols: list[str]) -> tuple[dict[str, Source], str]:
    """Training and test images for these protocols, and how they were told apart."""
    train, test, how = splits_for(data, not set(protocols) <= set(UNLABELLED), "segmentation" in protocols)
    return {"train": train, "test": test}, how


def _about(
    name: str, how: str, found: dict[str, Representation], classes: list[str], fingerprints: list[str]
) -> dict[str, Any]:
    """What the result says of the data: ``how`` training and test images were told apart, how many have features."""
    seen = next(iter(found.values()), None)
    counts = {"train": len(seen.train.index), "test": len(seen.test.index)} if seen else {}
    return {"data": {"name": name, "split": how, **counts, "classes": classes, "fingerprint": fingerprints}}


def _classes(source: Source) -> list[str]:
    return source.classes or sorted({str(label) for label in source.labels or []})


def check_finite(subject: Subject) -> None:
    """Refuse features that are not finite: one such row would be the nearest neighbour of all.

    Raises:
        UsageError: with the name of the first image that has such features.
    """
    for who, it in subject.representations.items():
        for split, images, features in (("train", "training", it.train), ("test", "test", it.test)):
            bad = (~features.values.isfinite().all(1)).nonzero()[:, 0].tolist()
            if bad and subject.splits:
                first = subject.splits[split].name(features.index[bad[0]])
                count = f"{len(bad)} of {len(features.index)} {images} images"
                raise UsageError(f"{who}: the features of {count} are not finite numbers, the first of {first}")


def left_out(subject: Subject) -> list[str]:
    """How many images could not be read, in a sentence, if there are any."""
    counts = subject.about["data"]
    missing = {split: len(source) - counts[split] for split, source in subject.splits.items()}
    if not any(missing.values()):
        return []
    of = f"{missing['train']} training, {missing['test']} test"
    return [f"{unread.left_out(sum(missing.values()))} ({of}; twofold scan names them)"]
