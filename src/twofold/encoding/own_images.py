"""The images that a run is measured on: those it learned from, as far as they are still there, or others."""

from dataclasses import replace
from pathlib import Path

from twofold.data.names import is_path
from twofold.data.opening import Data, DataLike, open_data, reopened
from twofold.errors import UsageError
from twofold.run import Run


def images_for(run: Run, data: DataLike) -> Data:
    """Images of the kind that a run's are: ``data``, or those of its recipe if that is None.

    A note says if those of the recipe are no longer what the run learned from. Its paths are as seen from the folder
    where it began, so another one may hold other images of the same name.

    Raises:
        UsageError: if they cannot be used, or are not there.
    """
    settings = run.recipe
    if data is not None:
        return open_data(data).of_kind(settings.channels, settings.depth)
    try:
        opened = reopened(settings.data)
    except UsageError as error:
        if not is_path(settings.data) or Path(settings.data).exists():
            raise
        where = "from here" if Path(settings.data).is_absolute() else "from the folder where it began"
        raise UsageError(f"{error}; {run.path} learned from it, as seen {where}: name the images (DATA)") from None
    opened = opened.limited(settings.limit).of_kind(settings.channels, settings.depth)
    began = run.began_with
    if began is None or opened.train.fingerprint() == began["fingerprint"]:
        return opened
    now, then = len(opened.train), began["images"]
    if now == then:
        said = f"{settings.data} has other images than {run.path} learned from"
    else:  # these could be the same, of which some could not be read
        said = f"{settings.data} has {now} images, and {run.path} learned from {then}: they may be others"
    return replace(opened, notes=(*opened.notes, said))
