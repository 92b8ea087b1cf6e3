"""`twofold evaluate`: every protocol for the pretrained backbone, beside the untrained one and raw pixels."""

import json
import math
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twofold import checkpoint
from twofold import device as devices
from twofold.data import Data, open_data
from twofold.data.sources import Source, Subset
from twofold.errors import UsageError, nearest
from twofold.evaluation.features import Encoder, Features, cached, fingerprint, raw_pixels
from twofold.evaluation.fewshot import few_shot, spread
from twofold.evaluation.knn import accuracy, knn_predict, neighbours
from twofold.evaluation.linear import LinearProbe
from twofold.recipe import settings_of
from twofold.run import Run

SHOTS = (1, 5, 10)
DRAWS = 10

HELD_OUT = "every fifth image of each class held out for testing; if pretraining saw them, then without labels"

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

Score = dict[str, Any]
"""``accuracy`` (0 to 1), ``spread``, what the spread is ``over``, and what was chosen on the way."""


def evaluate(
    run: str | Path | Run,
    data: str | Path | None = None,
    protocols: str | Sequence[str] = ("knn", "linear"),
    device: str = "auto",
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Measure a run's backbone on labelled images, and write evaluation.json.

    Args:
        run: the run directory.
        data: images with labels, with or without a test part; by default those of the pretraining.
        protocols: any of ``knn``, ``linear``, ``fewshot``; several also as one text with commas.
        device: auto, cpu, cuda or mps.
        tell: told how far it is.

    Returns:
        What evaluation.json holds: ``scores[protocol][representation]`` is a `Score`, beside recipe, data, versions.

    Raises:
        UsageError: if there is no such run or protocol, or the images have no labels.
    """
    run = Run.open(run)
    protocols = protocols.split(",") if isinstance(protocols, str) else protocols
    unknown = [p for p in protocols if p not in PROTOCOLS]
    if unknown:
        raise UsageError(f"there is no protocol {unknown[0]!r}{nearest(unknown[0], PROTOCOLS)}; {', '.join(PROTOCOLS)}")
    settings = run.recipe
    name = str(data or settings.data)
    opened = open_data(name)
    train, test, split = parts_for_evaluation(opened.limited(settings.limit) if data is None else opened, name)
    representations = _features(run, {"train": train, "test": test}, devices.choose(device), tell)

    scores: dict[str, dict[str, Score]] = {}
    for protocol in protocols:
        for position, (representation, features) in enumerate(representations.items()):
            if tell:
                tell(f"{protocol}, {representation}", position, len(representations))
            for key, score in PROTOCOLS[protocol](features["train"], features["test"]).items():
                scores.setdefault(key, {})[representation] = score
    result = {
        "scores": scores,
        "data": {
            "name": name,
            "split": split,
            "train": len(representations["pretrained"]["train"].index),
            "test": len(representations["pretrained"]["test"].index),
            "classes": train.classes or sorted({str(label) for label in train.labels or []}),
            "fingerprint": [train.fingerprint(), test.fingerprint()],
        },
        "recipe": settings_of(settings),
        "seed": 0,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("twofold", "torch", "timm", "scikit-learn")}
        | {"python": platform.python_version()},
    }
    text = json.dumps(result, indent=2)
    checkpoint.write_text(run.path / "evaluation.json", text + "\n")
    written: dict[str, Any] = json.loads(text)
    return written


def parts_for_evaluation(data: Data, name: str) -> tuple[Source, Source, str]:
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


def _features(
    run: Run, parts: dict[str, Source], on: torch.device, tell: Tell | None
) -> dict[str, dict[str, Features]]:
    """features[representation][part]."""
    spec = run.spec
    backbones = {"untrained": run.untrained(), "pretrained": run.backbone()}
    keys = {"raw pixels": f"raw {spec.size}"} | {name: fingerprint(b, spec) for name, b in backbones.items()}
    encoders: dict[str, Callable[[Tensor], Tensor]] = {"raw pixels": raw_pixels}
    encoders |= {name: Encoder(backbone, spec, on) for name, backbone in backbones.items()}
    found: dict[str, dict[str, Features]] = {name: {} for name in keys}
    for part, source in parts.items():
        for name, features in cached(
            run.path / "features", part, keys, source, spec.size, encoders, _say(tell, part, source)
        ).items():
            found[name][part] = features
    return found


def _say(tell: Tell | None, part: str, source: Source) -> Callable[[int], None] | None:
    return (lambda done: tell(f"features, {part} images", done, len(source))) if tell else None


def _knn(train: Features, test: Features) -> dict[str, Score]:
    predicted = knn_predict(train.values, train.labels, test.values)
    k = neighbours(len(train.values), len(train.labels.unique()))
    return {"knn": _single(accuracy(predicted, test.labels), len(test.index)) | {"k": k}}


def _linear(train: Features, test: Features) -> dict[str, Score]:
    probe = LinearProbe().fit(train.values, train.labels)
    right = (probe.predict(test.values) == test.labels.numpy()).mean()
    return {"linear": _single(float(right), len(test.index)) | {"C": probe.strength}}


def _few_shot(train: Features, test: Features) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for shots in SHOTS:
        drawn = few_shot(train.values, train.labels, test.values, test.labels, shots, DRAWS)
        mean, deviation = spread(drawn)
        scores[f"{shots} a class"] = {"accuracy": mean, "spread": deviation, "over": f"{DRAWS} draws of the labels"}
    return scores | {"all labels": _linear(train, test)["linear"]}


def _single(right: float, images: int) -> Score:
    """One accuracy and its standard error: what another test set of this size could change."""
    return {"accuracy": right, "spread": math.sqrt(right * (1 - right) / images), "over": f"{images} test images"}


PROTOCOLS: dict[str, Callable[[Features, Features], dict[str, Score]]] = {
    "knn": _knn,
    "linear": _linear,
    "fewshot": _few_shot,
}
