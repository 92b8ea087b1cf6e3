"""`twofold.diagnose`: what can be said without labels, of a run and its history, of any backbone, or of embeddings."""

import copy
import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twofold import device as devices
from twofold import measures as m
from twofold import rng
from twofold.augment.views import augmentation
from twofold.data.opening import DataLike, name_of, open_data
from twofold.data.plan import sample
from twofold.data.sources import Source
from twofold.diagnosis.beginnings import JUDGES, Loss, by_evaluation, by_measures
from twofold.diagnosis.causes import BEHIND, EMPTY, FINITE, explain
from twofold.diagnosis.doctor import GIVEN, Finding, examine, examine_once, family_of
from twofold.diagnosis.views import VIEWS, encoded
from twofold.encoding.backbones import open_backbone, run_of
from twofold.encoding.encoder import Encoder
from twofold.encoding.own_images import changed, images_for
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError, refuse
from twofold.recipe.general import Recipe
from twofold.recipe.version import VERSION
from twofold.run import Run
from twofold.storage import files
from twofold.storage.metrics import Row

IMAGES = 1000

Looked = Mapping[str, tuple[Tensor, Tensor | None]]
"""By name: embeddings of images [n, d], and of `VIEWS` distorted views of each [n, VIEWS, d], if there are any."""


def diagnose(
    what: str | Path | Run | nn.Module | Tensor | np.ndarray,
    data: DataLike = None,
    images: int = IMAGES,
    device: str | None = None,
    tell: Tell = silent,
    *,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    out: str | Path | None = None,
    backbone: str | None = None,
) -> dict[str, Any]:
    """Say whether representations have collapsed, and measure them without labels.

    Of a run, which need not have ended, the doctor looks through the whole history, and the features and embeddings
    of the last checkpoint are measured; diagnosis.json is written. Of another backbone the features are measured, of
    embeddings these themselves, and the doctor says what can be told from a single look::

        twofold.diagnose("runs/cats")
        twofold.diagnose("resnet50.a1_in1k", "photos/")      # a timm model, with its weights
        twofold.diagnose(my_network, images, size=32)        # an nn.Module
        twofold.diagnose(embeddings)

    Args:
        what: a run or its directory; the name of a timm model; a file of weights; the folder of a run's ``start`` or
            ``teacher``; a network, images [N, C, H, W] -> features [N, D]; or embeddings, float [N, D].
        data: images to measure on, as `open_data` takes them; by default, of a run, those of the pretraining.
        images: how many of them, or of the embeddings, are measured at most, at least 2; always the same ones.
        device: cpu, cuda or mps; None: a network that is given stays where it is, others go to a GPU if there is one.
        tell: a function that is told what is being done, how much of it is done, and how much there is.
        size: the side in pixels of the images that a backbone gets, unless it is a run's. By default what a timm
            model's ``pretrained_cfg`` says, else 224.
        mean: the mean of each channel, for images from 0 to 1; by default likewise, else ImageNet's.
        std: the standard deviation of each channel, likewise.
        out: a file to write the result to, as JSON; by default, of a run, its diagnosis.json, else nowhere.
        backbone: for a file of weights, the name of the timm model that they belong to.

    Returns:
        ``findings``, each with ``name``, ``since`` (the step; None where there is no history), what was ``seen``, the
        likeliest ``cause`` and ``advice``; ``measures`` and ``spectrum`` (the eigenvalues of the covariance, largest
        first, as shares) by what was measured: of a run ``untrained``, ``start`` (if it started from weights),
        ``features`` and, where the method has a projector, ``embeddings`` after it; of a backbone ``features``;
        ``images``; of a run also ``last_step``, what was measured there while training, ``steps`` and ``looks``;
        ``date``, ``versions``.

    Raises:
        UsageError: if there is no such run, model or data, no checkpoint and no failure in a run, or an argument is of
            no use with what is looked at.
    """
    target = files.target(out)
    preparation: dict[str, Any] = {"size": size, "mean": mean, "std": std}
    if images < 2:
        raise UsageError(f"images must be at least 2, not {images}")
    if isinstance(what, Tensor | np.ndarray):
        refuse("embeddings", data=data, device=device, backbone=backbone, **preparation)
        result = _of_embeddings(what, images)
    elif run := run_of(what):
        refuse("a run, which says itself how its images are prepared", backbone=backbone, **preparation)
        result, target = _of_run(run, data, images, device, tell), target or run.path / "diagnosis.json"
    else:
        encoder = open_backbone(what, backbone=backbone, device=device, **preparation)
        if data is None:
            raise UsageError("data is needed: the images that the backbone is looked at with")
        result = _of_backbone(encoder, data, images, tell)
    result |= {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"twofold": VERSION} | {name: version(name) for name in ("torch", "timm")},
    }
    return files.write_json(target, result, indent=1)


def _of_run(run: Run, data: DataLike, images: int, device: str | None, tell: Tell) -> dict[str, Any]:
    checkpoint, settings, rows = run.path / "checkpoint.pt", run.recipe, run.metrics
    if not checkpoint.exists() and not (run.path / "failure.pt").exists():
        raise UsageError(f"{run.path} has neither a checkpoint nor a failure to look at yet")
    found: Looked = {}
    looked: Looked = {}
    if checkpoint.exists():
        opened = images_for(run, data)
        for sentence in changed(run, opened) if data is None else ():
            logging.getLogger("twofold").warning(sentence)
        found = embeddings_of(run, sample(opened.train, images), devices.choose(device), tell)
        looked = {name: it for name, it in found.items() if it[0].isfinite().all()}
    name = settings.data if data is None else name_of(data)
    findings = found_in(run)
    lacking = [who for who in found if who not in looked]
    if lacking and not any(finding.name == FINITE for finding in findings):
        seen = f"the last {' and '.join(lacking)} of some images are not finite"
        findings.insert(0, Finding(FINITE, len(rows), seen, *explain(FINITE, settings)))
    result = _result(findings, looked, name)
    names = {finding["name"] for finding in result["findings"]}  # where one is EMPTY, no measure means anything
    if not names & {EMPTY, *BEHIND} and (lost := _lost(run, settings, rows, result)):
        finding = Finding(*lost, *explain(lost[0], settings))
        result["findings"].append(dataclasses.asdict(finding))
    return result | {
        "last_step": next((row["measures"] for row in reversed(rows) if "measures" in row), {}),
        "steps": rows[-1]["step"] + 1 if rows else 0,
        "looks": sum("measures" in row for row in rows),
    }


def _lost(run: Run, settings: Recipe, rows: Sequence[Row], result: Mapping[str, Any]) -> Loss | None:
    """What the last features have lost: by an evaluation of them, if there is one, else by measures without labels.

    The kNN scores of the run itself, if it has any, take the place of these measures; they are looked at before.
    """
    evaluation = run.evaluation or {}
    if evaluation.get("steps") == len(rows) and set(JUDGES) & evaluation.get("gains", {}).keys():
        return by_evaluation(evaluation)
    if family_of(settings) in GIVEN or (rows and "knn_asked" in rows[0]):
        return None
    return by_measures(result["measures"])


def _of_backbone(encoder: Encoder, data: DataLike, images: int, tell: Tell) -> dict[str, Any]:
    spec = encoder.spec
    source = sample(open_data(data).of_kind(spec.channels).train, images)
    looked = encoded(source, spec.size, {"features": encoder}, augmentation({}, spec.channels), 0, tell)
    return _result(None, looked, name_of(data))


def _of_embeddings(embeddings: Tensor | np.ndarray, images: int) -> dict[str, Any]:
    rows = m.as_embeddings(embeddings).detach()
    if len(rows) > images:
        rows = rows[torch.randperm(len(rows), generator=rng.generator(0, "sample"))[:images].to(rows.device)]
    return _result(None, {"embeddings": (rows, None)}, "embeddings")


def _result(findings: list[Finding] | None, looked: Looked, data: str) -> dict[str, Any]:
    """What was found and measured; ``findings`` None: what the doctor says of a single look at the last embeddings."""
    measures: dict[str, dict[str, float]] = {}
    spectra: dict[str, list[float]] = {}
    for name, (embeddings, views) in looked.items():
        spectrum = m.covariance_spectrum(embeddings)
        measures[name], spectra[name] = measured(embeddings, spectrum, views), spectrum.tolist()
    if findings is None:
        findings = examine_once(list(measures.values())[-1])
    used = {"data": data, "used": 0, "views_of_each": 0}
    for embeddings, views in looked.values():
        used |= {"used": len(embeddings), "views_of_each": 0 if views is None else views.shape[1]}
    return {
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "measures": measures,
        "spectrum": spectra,
        "images": used,
    }


def measured(embeddings: Tensor, spectrum: Tensor, views: Tensor | None) -> dict[str, float]:
    """Every measure of embeddings [n, d] by its name; what cannot be told is left out."""
    found = m.of_embeddings(embeddings, spectrum)
    if views is not None:
        found |= {"lidar": m.lidar(views), "alignment": m.alignment(views[:, 0], views[:, 1])}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def found_in(run: Run) -> list[Finding]:
    """What the doctor says of a run's history: of its measured steps, and of a loss that is no number."""
    settings, rows = run.recipe, run.metrics
    findings = examine(rows, settings)
    failure = run.path / "failure.pt"
    state = files.load(failure) if failure.exists() else {"step": -1}
    if state["step"] >= len(rows):  # not one that a later try got over
        seen = f"{state['failure']}; the terms are {state['terms']}"
        findings.insert(0, Finding(FINITE, state["step"], seen, *explain(FINITE, settings)))
    return findings


def embeddings_of(run: Run, source: Source, device: torch.device, tell: Tell) -> Looked:
    """``untrained``, ``start`` and pretrained ``features`` of images; with a projector, ``embeddings`` after it."""
    settings, spec, fresh = run.recipe, run.spec, run.untrained()
    method, started = run.method(into=copy.deepcopy(fresh)), run.start(into=copy.deepcopy(fresh))
    networks = {"untrained": fresh, "start": started, "features": run.result(method, settings)}
    encoders = {name: Encoder(network, spec, device) for name, network in networks.items() if network is not None}
    looked: dict[str, tuple[Tensor, Tensor | None]] = {
        **encoded(source, settings.image_size, encoders, settings.augment, settings.seed, tell)
    }
    features, views = looked["features"]
    assert views is not None
    with torch.inference_mode():
        method = devices.place(method, device).eval()
        embedded, flat = (method.project(rows.to(device)) for rows in (features, views.flatten(0, 1)))
    if embedded is not None and flat is not None:
        looked["embeddings"] = embedded.float().cpu(), flat.float().cpu().unflatten(0, (-1, VIEWS))
    return looked
