"""`twofold report`: a run on one page, self-contained."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold import device as devices
from twofold.data.opening import DataLike
from twofold.encoding.encoder import Encoder
from twofold.encoding.own_images import changed, images_for
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.evaluation.titles import BEGINNINGS
from twofold.page import plots
from twofold.page.atlas import make_atlas
from twofold.page.bands import Look, look_at
from twofold.page.pictures import views_of_images
from twofold.page.render import render
from twofold.recipe import declared
from twofold.recipe.toml import dumps
from twofold.run import Run
from twofold.storage import files

POINTS = 50_000


def report(
    run: str | Path | Run,
    points: int = POINTS,
    device: str | None = None,
    tell: Tell = silent,
    *,
    data: DataLike = None,
    bands: Sequence[int] | None = None,
) -> Path:
    """Write report.html into a run directory: diagnosis, scores, a map of the images, curves, views and the recipe.

    What cannot be shown (the data have moved, pretraining has not ended) is said in its place.

    Args:
        run: the run directory.
        points: how many images the map shows at most, at least 1.
        device: cpu, cuda or mps; None: a GPU if there is one.
        tell: a function that is told what is being done, how much of it is done, and how much there is.
        data: the images of the pretraining, if they lie elsewhere now, have to be downloaded, or are a Python object.
        bands: numbers, from 1, of the channels that are shown as red, green and blue, or of the one that is shown;
            None: the first three, or the first one of fewer. What is not 8-bit RGB is stretched, a channel at a time,
            from the 2nd to the 98th percentile of the pixels of up to 100 images.

    Returns:
        The page's path.

    Raises:
        UsageError: if there is no such run, device or band, or ``points`` is below 1.
    """
    run = Run.open(run)
    if points < 1:
        raise UsageError(f"points must be at least 1, not {points}")
    on = devices.choose(device)
    look_at(run.recipe.channels, bands)
    settings, metrics, evaluation, diagnosis = run.recipe, run.metrics, run.evaluation, run.diagnosis
    views, atlas, no_views, no_atlas = [], None, "", ""
    try:
        opened = images_for(run, data).limited(settings.limit)
        source = opened.train
        for sentence in changed(run, opened) if data is None else ():
            logging.getLogger("twofold").warning(sentence)
        tell("views", 0, 1)
        spec = run.spec
        backbone = run.untrained()
        look = Look.of(source, spec.size, settings.channels, settings.depth, bands)
        steps = 2 if settings.augment.small_crops else 3
        views = views_of_images(source, settings, spec, backbone, steps=steps, look=look, kept=run.path)
        no_views = "" if views else "no image tried can be read"
    except UsageError as error:  # the data have moved
        no_views = no_atlas = str(error)
    else:
        try:
            encoder = Encoder(run.backbone(into=backbone), spec, on)
            atlas = make_atlas(source, settings.image_size, encoder, points, tell, look)
        except UsageError as error:  # pretraining has not ended
            no_atlas = str(error)
    page = render(
        "run.html",
        name=run.path.name,
        title=declared.spec(settings.method).title,
        settings=settings,
        facts=facts(metrics),
        diagnosis=diagnosis,
        spectrum=plots.spectrum(diagnosis["spectrum"]) if diagnosis and diagnosis.get("spectrum") else None,
        measure_names=names_in(diagnosis),
        evaluation=evaluation,
        said=(evaluation or {}).get("verdict", []),
        few=plots.labels_curves(evaluation) if evaluation else [],
        curves=plots.curves(metrics),
        measures=plots.measures(metrics),
        atlas=atlas,
        no_atlas=no_atlas,
        views=views,
        no_views=no_views,
        recipe=dumps(settings),
        recipe_path=shlex.quote(str(run.path / "recipe.toml")),
    )
    path = run.path / "report.html"
    files.write_text(path, page.encode(errors="replace").decode())  # names of files need not be UTF-8
    return path


def names_in(diagnosis: dict[str, Any] | None) -> list[str]:
    """The measures' names, each once, over all columns."""
    columns = (diagnosis or {}).get("measures") or {}
    return list(dict.fromkeys(name for values in columns.values() for name in values))


def facts(metrics: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The run in a few numbers: what, how much, and what to compare it with."""
    if not metrics:
        return []
    first, last = metrics[0], metrics[-1]
    found = [("steps", f"{last['step'] + 1:,}", f"{last['epoch'] + 1} epochs")]
    collapsed = f"collapsed {first['collapsed']:.3g}" if "collapsed" in first else ""
    found.append(("loss", f"{last['loss']:.3g}", collapsed))
    scores = [row["knn"] for row in metrics if "knn" in row]
    if scores:
        known = [(who, first.get(f"knn_{who}")) for who in BEGINNINGS]
        beside = ", ".join(f"{who} {100 * score:.1f} %" for who, score in known if score is not None)
        found.append(("kNN", f"{100 * scores[-1]:.1f} %", beside))
    speeds = sorted(row["images_per_second"] for row in metrics if "images_per_second" in row)
    if speeds:
        found.append(("images a second", f"{speeds[len(speeds) // 2]:,.0f}", "median"))
    return found
