"""`twofold.evaluate`: how good frozen features are, of a run, of any backbone, or as they are."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from twofold.data.opening import Data, DataLike, open_data, reopened
from twofold.data.sources import Source, digest
from twofold.encoding.backbones import open_backbone, run_of
from twofold.encoding.cache import Cache
from twofold.encoding.progress import Tell, silent, within
from twofold.errors import Failed, UsageError, did_you_mean, refuse
from twofold.evaluation.advice import unmeasured
from twofold.evaluation.arrays import as_splits
from twofold.evaluation.fewshot import quotas
from twofold.evaluation.patches import patches_of
from twofold.evaluation.protocols import DENSE, PROTOCOLS, UNLABELLED, Task
from twofold.evaluation.representations import Representation, of_backbone, of_run
from twofold.evaluation.split import splits_for
from twofold.evaluation.verdict import verdict
from twofold.recipe.recipe import settings_of
from twofold.run import START, Run
from twofold.storage import files


@dataclass(frozen=True)
class Subject:
    """What is measured: representations by name, in the order of the table, and the data that they are of.

    ``splits``: the images, if there are any. ``about``: what the result says of the data and of the run; ``notes``:
    what else there is to say, in sentences. ``run``: whose representations they are, if they are a run's.
    """

    representations: dict[str, Representation]
    splits: dict[str, Source]
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    run: Run | None = None


def evaluate(
    what: str | Path | Run | nn.Module | Tensor | np.ndarray,
    data: DataLike = None,
    protocols: str | Sequence[str] = ("knn", "linear"),
    device: str | None = None,
    tell: Tell = silent,
    *,
    labels: Any = None,
    test: Tensor | np.ndarray | None = None,
    test_labels: Any = None,
    baseline: str | Sequence[str] = (),
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    backbone: str | None = None,
    kept_features: str | Path | None = None,
) -> dict[str, Any]:
    """Measure how good frozen features are at telling labelled images apart, or the parts of images.

    Of a run the pretrained backbone is measured beside raw pixels, the backbone before its first step, and the features
    after the method's projector; of another backbone beside raw pixels; features are measured as they are::

        twofold.evaluate("runs/cats", "labelled/")                               # writes runs/cats/evaluation.json
        twofold.evaluate("vit_small_patch14_dinov2.lvd142m", "labelled/")        # a timm model, with its weights
        twofold.evaluate("moco.pth", "labelled/", backbone="resnet50")           # a file of weights
        twofold.evaluate(my_network, (images, labels), size=32)                  # an nn.Module
        twofold.evaluate(features, labels=labels)                                # every fifth row is held out
        twofold.evaluate(features, labels=labels, test=others, test_labels=their_labels)

    Args:
        what: a run or its directory; the name of a timm model; a file of weights; the folder of a run's ``start`` or
            ``teacher``; a network, images [N, C, H, W] -> features [N, D]; or features, float [N, D].
        data: images with labels or masks, as `open_data` takes them, with or without a test part. By default, of a run,
            those of the pretraining.
        protocols: any of ``knn``, ``linear``, ``mlp``, ``finetune``, ``fewshot``, ``clusters``, ``retrieval``,
            ``segmentation``, ``patch_retrieval``; several also as one text with commas. ``segmentation`` needs masks of
            the images (`twofold.data.masks`) instead of labels.
        device: cpu, cuda or mps; None: a network that is given stays where it is, others go to a GPU if there is one.
        tell: a function that is told what is being done, how much of it is done, and how much there is.
        labels: the labels of features, [N], whole numbers or texts.
        test: features to test on, float [M, D]; by default every fifth row of each class.
        test_labels: the labels of ``test``, [M].
        baseline: other backbones to measure, timm's names (with their published weights) or run directories; several
            also as one text with commas.
        size: the side in pixels of the images that a backbone gets, unless it is a run's. By default what a timm
            model's ``pretrained_cfg`` says, else 224.
        mean: the mean of each channel, for images from 0 to 1; by default likewise, else ImageNet's.
        std: the standard deviation of each channel, likewise.
        seed: the number that decides what is held out, which labels are drawn, and the first weights of heads.
        out: a file to write the result to, as JSON; by default, of a run, its evaluation.json, else nowhere.
        backbone: for a file of weights, the name of the timm model that they belong to.
        kept_features: the folder where a run's features are kept for the next time; by default RUN/features. Runs may
            share one.

    Returns:
        ``scores[row][representation]``, each with ``metric``, ``value``, ``spread``, what the spread is ``over``, and
        often ``labels``, how many were used; ``representations`` in their order; ``verdict``, of a run, sentences on
        what came out; ``notes``, ``seconds`` by protocol, ``data``, ``recipe`` (of a run), ``seed``, ``date``,
        ``versions``.

    Raises:
        UsageError: if there is no such run, model, data, protocol or baseline, the images have no labels or masks
            where they are needed, a backbone has no map of patches where one is, or an argument is of no use with what
            is measured.
    """
    wanted, baselines, target = known(protocols), names_in(baseline), files.target(out)
    if not wanted:
        raise UsageError(f"protocols must name at least one of {', '.join(PROTOCOLS)}")
    preparation = {"size": size, "mean": mean, "std": std}
    if isinstance(what, Tensor | np.ndarray):
        about_images = dict(data=data, device=device, backbone=backbone, kept_features=kept_features)
        refuse("features", baseline=baselines or None, **about_images, **preparation)
        for name in wanted:
            if name in ("finetune", *DENSE):
                raise UsageError(f"{name} needs a backbone and images, not features")
        subject = _features(what, labels, test, test_labels)
    else:
        refuse("a backbone, whose images have their labels in data", labels=labels, test=test, test_labels=test_labels)
        if run := run_of(what):
            refuse("a run, which says itself how its images are prepared", backbone=backbone, **preparation)
            subject = _run(run, data, wanted, baselines, device, tell, Path(kept_features or run.path / "features"))
            target = target or run.path / "evaluation.json"
        else:
            refuse("a backbone that is no run's", kept_features=kept_features)
            subject = _backbone(what, data, wanted, baselines, device, tell, backbone=backbone, **preparation)
    check_finite(subject)
    scores, seconds, notes = measured(subject, wanted, seed, tell)
    result = {
        "verdict": verdict(scores, f"{subject.run.path / START}" if subject.run else ""),
        "scores": scores,
        "representations": list(subject.representations),
        "notes": [*subject.notes, *left_out(subject), *notes],
        "seconds": seconds,
        **subject.about,
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("twofold", "torch", "timm", "scikit-learn")}
        | {"python": platform.python_version()},
    }
    if other := other_data(target, result):
        result["notes"].append(f"these scores replace those of {other} in {target} (--out FILE keeps both)")
    return files.write_json(target, result, indent=2)


def other_data(target: Path | None, result: dict[str, Any]) -> str:
    """The name of the data whose scores a file has, if it has any, and if they are not those of a result."""
    if target is None or not target.is_file():
        return ""
    try:
        had = str(files.read_json(target, "")["data"]["name"])
    except (UsageError, Failed, KeyError, TypeError):
        return ""
    return "" if Path(had) == Path(result["data"]["name"]) else had


def _run(
    run: Run,
    data: DataLike,
    protocols: list[str],
    baselines: list[str],
    device: str | None,
    tell: Tell,
    kept_features: Path,
) -> Subject:
    settings = run.recipe
    opened = reopened(settings.data).limited(settings.limit) if data is None else open_data(data)
    splits, how = _splits(opened.of_kind(settings.channels, settings.depth), protocols)
    caches = {split: Cache(kept_features, split, source) for split, source in splits.items()}
    found = of_run(run, caches, baselines, device, tell)
    fingerprints = [cache.fingerprint for cache in caches.values()]
    about = _about(opened.name, how, found, _classes(splits["train"]), fingerprints)
    about |= {"recipe": settings_of(settings), "steps": len(run.metrics)}
    return Subject(found, splits, about, (*opened.notes, *unmeasured(settings, baselines)), run)


def _backbone(
    what: str | Path | Run | nn.Module,
    data: DataLike,
    protocols: list[str],
    baselines: list[str],
    device: str | None,
    tell: Tell,
    **preparation: Any,
) -> Subject:
    encoder = open_backbone(what, device=device, **preparation)
    if data is None:
        raise UsageError("data is needed: the labelled images that the backbone is measured on")
    opened = open_data(data).of_kind(encoder.spec.channels)
    splits, how = _splits(opened, protocols)
    name = "backbone" if isinstance(what, nn.Module) else str(what)
    found = of_backbone(name, encoder, splits, baselines, device, tell)
    fingerprints = [source.fingerprint() for source in splits.values()]
    about = _about(opened.name, how, found, _classes(splits["train"]), fingerprints)
    return Subject(found, splits, about, opened.notes)


def _splits(data: Data, protocols: list[str]) -> tuple[dict[str, Source], str]:
    """Training and test images for these protocols, and how they were told apart."""
    train, test, how = splits_for(data, not set(protocols) <= set(UNLABELLED), "segmentation" in protocols)
    return {"train": train, "test": test}, how


def _features(features: Tensor | np.ndarray, labels: Any, test: Any, test_labels: Any) -> Subject:
    train, asked, classes, how = as_splits(features, labels, test, test_labels)
    found = {"features": Representation(train, asked)}
    digests = [digest([split.values.numpy().tobytes()]) for split in (train, asked)]
    return Subject(found, {}, _about("features", how, found, classes, digests))


def _about(
    name: str, how: str, found: dict[str, Representation], classes: list[str], fingerprints: list[str]
) -> dict[str, Any]:
    """What the result says of the data: ``how`` training and test images were told apart, how many have features."""
    seen = next(iter(found.values()))
    counts = {"train": len(seen.train.index), "test": len(seen.test.index)}
    return {"data": {"name": name, "split": how, **counts, "classes": classes, "fingerprint": fingerprints}}


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
    train, test = missing["train"], missing["test"]
    return [f"{train} training and {test} test images cannot be read and are left out (twofold scan names them)"]


def _classes(source: Source) -> list[str]:
    return source.classes or sorted({str(label) for label in source.labels or []})


def measured(
    subject: Subject, protocols: Sequence[str], seed: int, tell: Tell
) -> tuple[dict[str, dict[str, Any]], dict[str, float], list[str]]:
    """The scores by row and representation, as evaluation.json has them; each protocol's seconds; what else to say."""
    scores: dict[str, dict[str, Any]] = {}
    seconds = dict.fromkeys(protocols, 0.0)
    every = subject.representations
    notes = quotas(next(iter(every.values())).train.labels)[1] if "fewshot" in protocols else []
    dense = patches_of(every) if set(protocols) & set(DENSE) else {}
    classes = subject.splits["train"].classes if subject.splits else subject.about["data"]["classes"]
    tasks = {who: Task(it, subject.splits, seed, silent, dense.get(who), notes) for who, it in every.items()}
    for protocol in protocols:
        for position, (who, task) in enumerate(tasks.items()):
            tell(f"{protocol}, {who}", position, len(tasks))
            task.tell = within(tell, f"{protocol}, {who}")
            began = time.monotonic()
            for row, score in PROTOCOLS[protocol](task).items():
                scores.setdefault(row, {})[who] = score.json(classes)
            seconds[protocol] += time.monotonic() - began
        tell(protocol, len(tasks), len(tasks))
    return scores, {protocol: round(value, 1) for protocol, value in seconds.items()}, list(dict.fromkeys(notes))


def names_in(given: str | Sequence[str]) -> list[str]:
    """Names, once each, also of one text with commas."""
    names = given.split(",") if isinstance(given, str) else given
    return list(dict.fromkeys(filter(None, (name.strip() for name in names))))


def known(protocols: str | Sequence[str]) -> list[str]:
    """Names of protocols, also from one text with commas.

    Raises:
        UsageError: if there is none of that name.
    """
    names = names_in(protocols)
    for name in names:
        if name not in PROTOCOLS:
            raise UsageError(f"there is no protocol {name!r}{did_you_mean(name, PROTOCOLS)}; {', '.join(PROTOCOLS)}")
    return names
