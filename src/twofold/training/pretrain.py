"""The Python functions: the same names and settings as the command line."""

from pathlib import Path
from typing import Any

from twofold.comparison.compare import compare
from twofold.data.opening import DataLike, name_of
from twofold.diagnosis.diagnose import diagnose
from twofold.evaluation.evaluate import evaluate
from twofold.outputs.embed import embed
from twofold.page.report import report
from twofold.recipe import recipe
from twofold.run import Run
from twofold.training.log import terminal
from twofold.training.loop import train

__all__ = ["compare", "diagnose", "embed", "evaluate", "pretrain", "report"]


def pretrain(data: DataLike = "digits", *, method: str = "simclr", quiet: bool = False, **settings: Any) -> Run:
    """Learn a backbone from images without labels; goes on by itself if the run directory exists.

    Args:
        data: what the command line calls DATA: a folder, tar shards, Parquet, .npz, .npy, ``digits``, ...; or an array
            of uint8 images, a list of images or of paths, a torch or Hugging Face Dataset: see
            `twofold.data.opening.open_data`. A run that was given such an object needs it again to go on.
        method: see `twofold methods`.
        quiet: no progress bar and no sentences on the terminal; log.txt has them all the same.
        **settings: any setting of the recipe by its name, e.g. ``backbone="resnet18", epochs=100, out="runs/cats"``.

    Returns:
        The run: its directory holds checkpoint, metrics and backbone.

    Raises:
        UsageError: for unusable data or settings.
        Diverged: when the loss is no longer finite.
    """
    wanted = recipe.make(method, data=name_of(data), **_texts(settings))
    return train(wanted, None if quiet else terminal(), data)


def _texts(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
