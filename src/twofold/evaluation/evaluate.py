"""`twofold.evaluate`: how good frozen features are, of a run, of any backbone, or as they are."""

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from torch import Tensor, nn

from twofold.data.opening import DataLike
from twofold.encoding.backbones import run_of
from twofold.encoding.progress import Tell, silent, within
from twofold.errors import Failed, UsageError, did_you_mean, refuse
from twofold.evaluation.fewshot import quotas
from twofold.evaluation.patches import patches_of
from twofold.evaluation.protocols import DENSE, DRAWN, PROTOCOLS, UNLABELLED, Task
from twofold.evaluation.score import Score
from twofold.evaluation.subject import (
    Subject,
    backbone_subject,
    check_finite,
    commonest,
    features_subject,
    left_out,
    run_subject,
)
from twofold.evaluation.verdict import gains, verdict
from twofold.recipe.version import VERSION
from twofold.run import START, Run
from twofold.storage import files


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
    together: bool = False,
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
        protocols: any of ``knn``, ``linear``, ``mlp``, ``finetune``, ``fewshot``, ``transductive``, ``clusters``,
            ``retrieval``, ``segmentation``, ``patch_retrieval``; several also as one text with commas.
            ``segmentation`` needs masks of the images (`twofold.data.masks`) instead of labels.
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
        together: all processes of a launch share the passes of the images through the networks, and each must call
            this; they must be joined, as `twofold.launch.processes` does. The first one does the rest.

    Returns:
        ``scores[row][representation]``, each with ``metric``, ``value``, ``spread``, what the spread is ``over``, and
        often ``labels``, how many were used; ``gains[row]``, of a run, how far ``pretrained`` is ``above`` the start or
        the untrained network, by the same images and draws of labels where a score has a figure for each image, as a
        ``value`` with its standard error, ``spread``, and what that is ``over``; ``representations`` in their order;
        ``verdict``, of a run, sentences on what came out; ``notes``, ``seconds`` by protocol, ``data``, ``recipe`` (of
        a run), ``seed``, ``date``, ``versions``. With ``together``, nothing on processes other than the first.

    Raises:
        UsageError: if there is no such run, model, data, protocol or baseline, the images have no labels or masks
            where they are needed, a backbone has no map of patches where one is, or an argument is of no use with what
            is measured.
    """
    wanted, baselines, target = known(protocols), names_in(baseline), files.target(out)
    if not wanted:
        raise UsageError(f"protocols must name at least one of {', '.join(PROTOCOLS)}")
    preparation: dict[str, Any] = {"size": size, "mean": mean, "std": std}
    if isinstance(what, Tensor | np.ndarray):
        about_images = dict(data=data, device=device, backbone=backbone, kept_features=kept_features)
        refuse("features", baseline=baselines or None, together=together or None, **about_images, **preparation)
        for name in wanted:
            if name in ("finetune", *DENSE):
                raise UsageError(f"{name} needs a backbone and images, not features")
        subject = features_subject(what, labels, test, test_labels)
    else:
        refuse("a backbone, whose images have their labels in data", labels=labels, test=test, test_labels=test_labels)
        if run := run_of(what):
            refuse("a run, which says itself how its images are prepared", backbone=backbone, **preparation)
            kept = Path(kept_features or run.path / "features")
            subject = run_subject(run, data, wanted, baselines, device, tell, together, kept)
            target = target or run.path / "evaluation.json"
        else:
            refuse("a backbone that is no run's", kept_features=kept_features)
            preparation |= {"backbone": backbone}
            subject = backbone_subject(what, data, wanted, baselines, device, tell, together, **preparation)
    if not subject.representations:
        return {}
    check_finite(subject)
    scores, seconds, notes = measured(subject, wanted, seed, tell)
    classes = subject.splits["train"].classes if subject.splits else subject.about["data"]["classes"]
    dominated = commonest(subject, classes) if set(wanted) - set(UNLABELLED) else []
    result = {
        "verdict": verdict(scores, quote(str(subject.run.path / START)) if subject.run else ""),
        "scores": {row: {who: score.json(classes) for who, score in own.items()} for row, own in scores.items()},
        "gains": gains(scores),
        "representations": list(subject.representations),
        "notes": [*subject.notes, *left_out(subject), *dominated, *notes],
        "seconds": seconds,
        **subject.about,
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"twofold": VERSION}
        | {name: version(name) for name in ("torch", "timm", "scikit-learn")}
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


def measured(
    subject: Subject, protocols: Sequence[str], seed: int, tell: Tell
) -> tuple[dict[str, dict[str, Score]], dict[str, float], list[str]]:
    """The scores by row and representation; each protocol's seconds; what else to say."""
    scores: dict[str, dict[str, Score]] = {}
    seconds = dict.fromkeys(protocols, 0.0)
    every = subject.representations
    notes = quotas(next(iter(every.values())).train.labels)[1] if set(protocols) & set(DRAWN) else []
    dense = patches_of(every) if set(protocols) & set(DENSE) else {}
    tasks = {who: Task(it, subject.splits, seed, silent, dense.get(who), notes) for who, it in every.items()}
    for protocol in protocols:
        for position, (who, task) in enumerate(tasks.items()):
            tell(f"{protocol}, {who}", position, len(tasks))
            task.tell = within(tell, f"{protocol}, {who}")
            began = time.monotonic()
            for row, score in PROTOCOLS[protocol](task).items():
                scores.setdefault(row, {})[who] = score
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
