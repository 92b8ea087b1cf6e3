"""`twofold evaluate`: every protocol for the pretrained backbone, beside the untrained one and raw pixels."""

import json
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twofold import files
from twofold.data.opening import Data, DataLike, open_data
from twofold.data.sources import Source, Subset
from twofold.encoding.cache import Cache
from twofold.encoding.progress import Tell, silent, within
from twofold.errors import UsageError, did_you_mean
from twofold.evaluation.fewshot import quotas
from twofold.evaluation.protocols import PROTOCOLS, Score, Task
from twofold.evaluation.representations import representations
from twofold.recipe.recipe import settings_of
from twofold.run import Run

HELD_OUT = "every fifth image of each class held out for testing; if pretraining saw them, then without labels"


def evaluate(
    run: str | Path | Run,
    data: DataLike = None,
    protocols: str | Sequence[str] = ("knn", "linear"),
    device: str | None = None,
    tell: Tell = silent,
    *,
    baseline: str | Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a run's backbone on labelled images, and write evaluation.json.

    Args:
        run: the run directory.
        data: images with labels, with or without a test part; by default those of the pretraining. A Python object
            may take the place of a path: see `twofold.data.opening.open_data`.
        protocols: any of ``knn``, ``linear``, ``mlp``, ``finetune``, ``fewshot``, ``clusters``, ``retrieval``;
            several also as one text with commas.
        device: cpu, cuda or mps; None: a GPU if there is one, for the networks.
        tell: told how far it is.
        baseline: other backbones to measure, timm's names (with their published weights) or run directories; several
            also as one text with commas.
        seed: decides which images are held out to choose by, the draws of labels, the heads' first weights.

    Returns:
        What evaluation.json holds: ``scores[row][representation]`` is a `Score`, beside ``representations`` in their
        order, ``notes``, ``seconds`` by protocol, recipe, data, seed, versions.

    Raises:
        UsageError: if there is no such run, protocol or baseline, or the images have no labels.
    """
    run = Run.open(run)
    protocols, baselines = known(protocols), _names(baseline)
    settings = run.recipe
    opened = open_data(settings.data).limited(settings.limit) if data is None else open_data(data)
    train, test, how = labelled_splits(opened, opened.name)
    splits = {"train": train, "test": test}
    caches = {split: Cache(run.path / "features", split, source) for split, source in splits.items()}
    found = representations(run, caches, baselines, device, tell)

    scores: dict[str, dict[str, Score]] = {}
    seconds = dict.fromkeys(protocols, 0.0)
    tasks = {who: Task(it, splits, seed, silent) for who, it in found.items()}
    for protocol in protocols:
        for position, (who, task) in enumerate(tasks.items()):
            tell(f"{protocol}, {who}", position, len(tasks))
            task.tell = within(tell, f"{protocol}, {who}")
            began = time.monotonic()
            for row, score in PROTOCOLS[protocol](task).items():
                scores.setdefault(row, {})[who] = score
            seconds[protocol] += time.monotonic() - began
    seen = found["pretrained"]
    result = {
        "scores": scores,
        "representations": list(found),
        "notes": quotas(seen.train.labels)[1] if "fewshot" in protocols else [],
        "seconds": {protocol: round(value, 1) for protocol, value in seconds.items()},
        "data": {
            "name": opened.name,
            "split": how,
            "train": len(seen.train.index),
            "test": len(seen.test.index),
            "classes": train.classes or sorted({str(label) for label in train.labels or []}),
            "fingerprint": [cache.fingerprint for cache in caches.values()],
        },
        "recipe": settings_of(settings),
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("twofold", "torch", "timm", "scikit-learn")}
        | {"python": platform.python_version()},
    }
    text = json.dumps(result, indent=2)
    files.write_text(run.path / "evaluation.json", text + "\n")
    written: dict[str, Any] = json.loads(text)
    return written


def _names(given: str | Sequence[str]) -> list[str]:
    """Names, once each, also of one text with commas."""
    parts = given.split(",") if isinstance(given, str) else given
    return list(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def known(protocols: str | Sequence[str]) -> list[str]:
    """Names of protocols, also from one text with commas.

    Raises:
        UsageError: if there is none of that name.
    """
    names = _names(protocols)
    for name in names:
        if name not in PROTOCOLS:
            raise UsageError(f"there is no protocol {name!r}{did_you_mean(name, PROTOCOLS)}; {', '.join(PROTOCOLS)}")
    return names


def labelled_splits(data: Data, name: str) -> tuple[Source, Source, str]:
    """Labelled training and test images, and in words how they were told apart.

    Raises:
        UsageError: if there are no labels, or fewer than two classes.
    """
    if data.train.labels is None:
        raise UsageError(f"the images in {name} have no labels: evaluation needs class folders or a column of labels")
    if len(set(data.train.labels)) < 2:
        raise UsageError(f"the images in {name} are all of one class: there is nothing to tell apart")
    if data.mismatch:
        raise UsageError(f"{name}: {data.mismatch}")
    if data.test is not None and data.test.labels is not None:
        return data.train, data.test, "the data's own test part"
    seen: dict[int, int] = {}
    train: list[int] = []
    test: list[int] = []
    for number, label in enumerate(data.train.labels):
        seen[label] = seen.get(label, 0) + 1
        (test if seen[label] % 5 == 0 else train).append(number)
    if not test:
        raise UsageError(f"no class in {name} has five images or more: too few to hold some out for testing")
    return (
        Subset(data.train, train),
        Subset(data.train, test),
        HELD_OUT,
    )
