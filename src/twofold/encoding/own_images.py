"""The images that a run is measured on: those it learned from, as far as they are still there, or others."""

import os
from pathlib import Path

from twofold.data.names import is_path
from twofold.data.opening import Data, DataLike, open_data, reopened
from twofold.errors import UsageError
from twofold.run import Run


def images_for(run: Run, data: DataLike) -> Data:
    """Images of the kind that a run's are: ``data``, or those of its recipe if that is None.

    Raises:
        UsageError: if they cannot be used, or are not there.
    """
    settings = run.recipe
    if data is not None:
        return open_data(data).of_kind(settings.channels, settings.depth)
    try:
        opened = reopened(settings.data)
    except UsageError as error:
        if not is_path(settings.data) or os.path.exists(settings.data):  # noqa: PTH110 (it raises no error)
            raise
        where = "" if Path(settings.data).is_absolute() else ", as seen from the folder where it began"
        raise UsageError(f"{error}; {run.path} learned from it{where}: name the images (DATA)") from None
    return opened.limited(settings.limit).of_kind(settings.channels, settings.depth)


def changed(run: Run, data: Data) -> tuple[str, ...]:
    """What is said if images of a run's recipe may no longer be those that it learned from.

    The recipe's paths are as seen from the folder where the run began, so another folder of that name may be meant.
    """
    began = run.began_with
    if began is None or data.train.fingerprint() == began["fingerprint"]:
        return ()
    now, then = len(data.train), began["images"]
    if now != then:
        return (f"{data.name} has {now} images, and had {then} when {run.path} began: they may be others",)
    return (f"{data.name} may have other images than {run.path} learned from (names, contents or times differ)",)
