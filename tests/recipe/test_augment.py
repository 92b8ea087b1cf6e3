"""Settings of views where the images' channels are no colours."""

import pytest

from tests.conftest import Unmeasured
from twofold.errors import UsageError
from twofold.recipe import recipe


class Land(Unmeasured):
    channels, depth = 5, "uint16"
    statistics = ((0.5,) * 5, (0.25,) * 5)


class Radar(Unmeasured):
    channels, depth = 3, "float32"


class Deep(Unmeasured):
    depth = "uint16"


def resolved(measured, **settings):
    return recipe.resolve(recipe.wanted("byol", image_size=224, **settings), 100, measured())


@pytest.mark.parametrize(
    ("measured", "settings", "colours"),
    [
        (Unmeasured, {}, True),
        (Deep, {}, True),
        (Land, {}, False),
        (Radar, {}, False),
        (Radar, {"colours": True}, True),
        (Unmeasured, {"colours": False}, False),
        (Unmeasured, {"channels": 1, "depth": "uint16"}, False),
    ],
)
def test_colours_are_three_channels_of_whole_numbers(measured, settings, colours):
    """BYOL solarises photographs, and nothing that is none; the run that began so goes on."""
    chosen, said = resolved(measured, **settings)
    a = chosen.augment
    off = (a.saturation, a.hue, a.grayscale, a.solarize) == (0, 0, 0, (0, 0))
    assert (a.colours, off, any("channels are no colours" in text for text in said)) == (
        colours,
        not colours,
        not colours,
    )
    assert a.jitter > 0
    assert not recipe.difference(chosen, recipe.wanted("byol", image_size=224, **settings), 100)
    again = recipe.wanted(**recipe.settings_of(chosen))
    assert recipe.resolve(again, 100, measured())[0] == chosen


def test_colour_operations_that_are_asked_for_without_colours():
    for name, value in dict(saturation=0.1, hue=0.1, grayscale=0.2, solarize=(0.0, 0.2)).items():
        with pytest.raises(UsageError, match=f"{name} is for red, green and blue"):
            resolved(Land, **{name: value})
    assert resolved(Land, hue=0.0, solarize=(0.0, 0.0))[0].augment.hue == 0
