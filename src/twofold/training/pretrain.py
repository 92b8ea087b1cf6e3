"""`twofold pretrain` in Python: the same names and settings as on the command line."""

from pathlib import Path
from typing import Any

from torch import nn

from twofold.data.opening import DataLike, name_of
from twofold.methods.base import Method
from twofold.nets import given
from twofold.recipe import declared, recipe
from twofold.run import Run
from twofold.training.log import terminal
from twofold.training.loop import train

__all__ = ["pretrain"]


def pretrain(
    data: DataLike = "digits",
    *,
    method: str | type[Method] = "simclr",
    backbone: str | nn.Module | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Learn a backbone from images without labels. If the run directory exists, the run goes on where it was.

    Args:
        data: what the command line calls DATA: a folder, tar shards, Parquet, .npz, .npy, ``digits``, ...; or an array
            of images, a list of images or of paths, a torch or Hugging Face Dataset: see
            `twofold.data.opening.open_data`. A run that was given such an object needs it again to go on.
        method: a name that `twofold methods` has, ``package.module:Class``, or a subclass of `Method`. A run of a
            class of a notebook, or of the program that runs, can be used where that class is defined.
        backbone: a timm name, ``package.module:function``, or a module that maps images [N, C, H, W] to features
            [N, D]. Of a module a copy is trained, from the weights that it has; to open the run in another process,
            it has to be given again.
        quiet: whether nothing is shown on the terminal; log.txt has the sentences in any case.
        **settings: any setting of the recipe by its name, e.g. ``epochs=100, out="runs/cats"``; None: the default. A
            run to start from (``weights``) or to learn from (``teacher``) may be given as a `Run` too.

    Returns:
        The run: its directory holds checkpoint, metrics and backbone.

    Raises:
        UsageError: for unusable data or settings.
        Diverged: when the loss is no longer finite.
        Collapsed: with ``on_collapse="stop"``, when signs of collapse are found.
    """
    name = method if isinstance(method, str) else declared.name_of(method)
    network = given.keep(backbone) if isinstance(backbone, nn.Module) else backbone
    wanted = recipe.wanted(name, data=name_of(data), backbone=network, **_texts(settings))
    return train(wanted, None if quiet else terminal(), data)


def _texts(settings: dict[str, Any]) -> dict[str, Any]:
    """Paths and runs as the texts that recipes have for them."""
    paths = {name: value.path if isinstance(value, Run) else value for name, value in settings.items()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in paths.items()}
