"""The Python functions: the same names and settings as the command line."""

from pathlib import Path
from typing import Any

from twofold.comparison.compare import compare
from twofold.diagnosis.diagnose import diagnose
from twofold.evaluation.evaluate import evaluate
from twofold.outputs.embed import embed
from twofold.page.report import report
from twofold.recipe import recipe
from twofold.run import Run
from twofold.training.log import terminal
from twofold.training.loop import train

__all__ = ["compare", "diagnose", "embed", "evaluate", "pretrain", "report"]


def pretrain(data: str | Path = "digits", *, method: str = "simclr", quiet: bool = False, **settings: Any) -> Run:
    """Learn a backbone from images without labels; goes on by itself if the run directory exists.

    Args:
        data: what the command line calls DATA: a folder, tar shards, Parquet, .npz, .npy, ``digits``, ...
        method: see `twofold methods`.
        quiet: no progress bar and no sentences on the terminal; log.txt has them all the same.
        **settings: any setting of the recipe by its name, e.g. ``backbone="resnet18", epochs=100, out="runs/cats"``.

    Returns:
        The run: its directory holds checkpoint, metrics and backbone.

    Raises:
        UsageError: for unusable data or settings.
        Diverged: when the loss is no longer finite.
    """
    return train(recipe.make(method, data=str(data), **_texts(settings)), None if quiet else terminal())


def _texts(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
