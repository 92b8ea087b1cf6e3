"""`twofold diagnose`: a run's measures on its own images, and the doctor's word on its history."""

import copy
import dataclasses
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twofold import device as devices
from twofold import files, rng
from twofold import measures as m
from twofold.augment.distortion import named
from twofold.augment.pipeline import pipelines
from twofold.data.loader import crop_one, sample
from twofold.data.opening import DataLike, name_of, open_data
from twofold.data.sources import Source, Subset
from twofold.diagnosis.causes import explain
from twofold.diagnosis.doctor import Finding, examine
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.recipe.recipe import Recipe
from twofold.run import Run

IMAGES = 1000
VIEWS = 5  # of each image, for LiDAR and the alignment
BATCH = 100


def diagnose(
    run: str | Path | Run,
    data: DataLike = None,
    images: int = IMAGES,
    device: str | None = None,
    tell: Tell = silent,
) -> dict[str, Any]:
    """Measure a run's features and embeddings without labels, look through its history, and write diagnosis.json.

    The run need not have ended: its last checkpoint is looked at.

    Args:
        run: the run directory.
        data: images to measure on; by default those of the pretraining. A Python object may take the place of a path:
            see `twofold.data.opening.open_data`.
        images: at most so many of them, always the same.
        device: cpu, cuda or mps; None: a GPU if there is one.
        tell: told how far it is.

    Returns:
        What diagnosis.json holds: ``findings``; ``measures`` of ``untrained`` and pretrained ``features`` and, where
        the method has a projector, of ``embeddings`` after it; ``spectrum``, the eigenvalues of each one's
        covariance, largest first, as shares; ``last step``, what was measured there while training.

    Raises:
        UsageError: if there is no such run, or no checkpoint and no failure in it.
    """
    run = Run.open(run)
    if not (run.path / "checkpoint.pt").exists() and not (run.path / "failure.pt").exists():
        raise UsageError(f"{run.path} has neither a checkpoint nor a failure to look at yet")
    findings = found_in(run)
    looked: dict[str, dict[str, float]] = {}
    spectra: dict[str, list[float]] = {}
    used = 0
    if (run.path / "checkpoint.pt").exists():
        opened = open_data(run.recipe.data).limited(run.recipe.limit) if data is None else open_data(data)
        source = sample(opened.train, images)
        for name, (central, views) in representations(run, source, devices.choose(device), tell).items():
            used, spectrum = len(central), m.covariance_spectrum(central)
            looked[name], spectra[name] = measured(central, spectrum, views), spectrum.tolist()
    rows = run.metrics
    result = {
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "measures": looked,
        "spectrum": spectra,
        "last step": next((row["measures"] for row in reversed(rows) if "measures" in row), {}),
        "images": {"data": run.recipe.data if data is None else name_of(data), "used": used, "views of each": VIEWS},
        "steps": rows[-1]["step"] + 1 if rows else 0,
        "looks": sum("measures" in row for row in rows),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("twofold", "torch", "timm")},
    }
    text = json.dumps(result, indent=1)
    files.write_text(run.path / "diagnosis.json", text + "\n")
    written: dict[str, Any] = json.loads(text)
    return written


def found_in(run: Run) -> list[Finding]:
    """What the doctor says of a run's history: of its measured steps, and of a loss that is no number."""
    settings, rows = run.recipe, run.metrics
    findings = examine([row for row in rows if "measures" in row], settings)
    failure = run.path / "failure.pt"
    state = files.load(failure) if failure.exists() else {"step": -1}
    if state["step"] >= len(rows):  # not one that a later try got over
        seen = f"the terms are {state['terms']}, the norm of the gradient is {state['gradient_norm']}"
        name = "non-finite values"
        findings.insert(0, Finding(name, state["step"], seen, *explain(name, settings)))
    return findings


def representations(run: Run, source: Source, on: torch.device, tell: Tell) -> dict[str, tuple[Tensor, Tensor]]:
    """name -> what it makes of each image, whole [n, d], and of `VIEWS` distorted views of each [n, VIEWS, d]."""
    settings, spec, fresh = run.recipe, run.spec, run.untrained()
    method = run.method(into=copy.deepcopy(fresh))
    encoders = {"untrained": Encoder(fresh, spec, on), "features": Encoder(method.backbone, spec, on)}
    whole = extract(source, settings.image_size, encoders, tell)
    central = {name: features.values for name, features in whole.items()}
    parts: dict[str, list[Tensor]] = {name: [] for name in encoders}
    readable = Subset(source, whole["features"].index)
    for done, pixels in distorted(readable, settings):
        for name, encoder in encoders.items():
            parts[name].append(encoder(pixels.flatten(0, 1)).cpu().unflatten(0, (-1, VIEWS)))
        tell("distorted views", done, len(readable))
    views = {name: torch.cat(rows) for name, rows in parts.items()}
    with torch.inference_mode():
        method = devices.place(method, on).eval()
        embedded = method.project(central["features"].to(on))
        if embedded is not None:
            central["embeddings"] = embedded.float().cpu()
            flat = method.project(views["features"].flatten(0, 1).to(on))
            assert flat is not None
            views["embeddings"] = flat.float().cpu().unflatten(0, (-1, VIEWS))
    return {name: (central[name], views[name]) for name in central}


def distorted(source: Source, settings: Recipe) -> Iterator[tuple[int, Tensor]]:
    """`VIEWS` views of each image, a batch at a time: how many are done, and uint8 [n, VIEWS, C, S, S]."""
    kinds = pipelines(settings.augment, settings.image_size, own=named(settings.augment.distortions))[:2]
    for start in range(0, len(source), BATCH):
        numbers = range(start, min(start + BATCH, len(source)))
        images = [source.image(number) for number in numbers]
        sizes = torch.tensor([image.shape[1:] for image in images])
        rows = []
        for number in range(VIEWS):
            view = kinds[number % 2]
            draws = view.draw(rng.Streams(settings.seed, ("diagnose", number, start)), len(images))
            crops = [
                crop_one(image, box, bool(flip), view.size, view.augment.interpolation)
                for image, box, flip in zip(images, view.boxes(draws, sizes).tolist(), draws.flip, strict=True)
            ]
            rows.append((view.distort(torch.stack(crops) / 255, draws) * 255).round().byte())
        yield numbers[-1] + 1, torch.stack(rows, 1)


def measured(central: Tensor, spectrum: Tensor, views: Tensor) -> dict[str, float]:
    """Every measure of a representation by its name; what cannot be told, of too few images, is left out."""
    found = m.of_embeddings(central, spectrum)
    found["lidar"] = m.lidar(views) if len(views) > 1 else math.nan
    found["alignment"] = m.alignment(views[:, 0], views[:, 1])
    return {name: value for name, value in found.items() if math.isfinite(value)}
