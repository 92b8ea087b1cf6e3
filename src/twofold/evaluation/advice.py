"""What an evaluation did not measure and its reader should know of."""

from pathlib import Path
from shlex import quote

from twofold.data.names import PYTHON
from twofold.nets.published import config_of, passed_over
from twofold.nets.weights import PUBLISHED
from twofold.recipe.general import Recipe


def unmeasured(settings: Recipe, baselines: list[str], data: str) -> list[str]:
    """Sentences on published weights that a run could be compared with, and was not.

    Args:
        settings: the run's.
        baselines: what was measured beside it.
        data: the name of the images that it was measured on.
    """
    found = [smaller_than_its_weights(settings, data)]
    if passed_over(settings) and not baselines:
        found.append(
            f"published weights of {settings.backbone} were not measured beside this run, and on photographs they are "
            f"often better: --baseline {settings.backbone}"
        )
    return [sentence for sentence in found if sentence]


def smaller_than_its_weights(settings: Recipe, data: str) -> str:
    """That a run's images are smaller than those its starting weights are for, if they are."""
    published = settings.weights == PUBLISHED
    here = published or Path(settings.weights).is_file()  # what was a run may have been moved
    config = config_of(settings.backbone) if here else None
    if config is None or settings.image_size >= (own := int(config.input_size[-1])):
        return ""
    if data.startswith(PYTHON):
        file = f"{settings.weights!r}, backbone={settings.backbone!r}"
        command = f"twofold.evaluate({repr(settings.backbone) if published else file}, data=...)"
    else:
        what = settings.backbone if published else f"{quote(settings.weights)} --backbone {settings.backbone}"
        command = f"twofold evaluate {what} {quote(data)}"
    return (
        f"all networks here see images of {settings.image_size} pixels; the starting weights are made for {own}, at "
        f"which they may be better as they are: {command}"
    )
