"""What follows from images that are tiny, or have no colours."""

import pytest

from tests.conftest import Unmeasured
from twofold.errors import UsageError
from twofold.recipe import recipe
from twofold.recipe.images import CROP, crops_of
from twofold.recipe.resolve import difference, resolve


class Land(Unmeasured):
    channels, depth = 5, "uint16"
    statistics = ((0.5,) * 5, (0.25,) * 5)


class Radar(Unmeasured):
    channels, depth = 3, "float32"


class Deep(Unmeasured):
    depth = "uint16"


class Scans(Unmeasured):
    grey = True


def resolved_for(measured, **settings):
    return resolve(recipe.wanted("byol", image_size=224, **settings), 100, measured())


@pytest.mark.parametrize(
    ("measured", "settings", "colours"),
    [
        (Unmeasured, {}, "rgb"),
        (Deep, {}, "rgb"),
        (Scans, {}, "grey"),
        (Scans, {"colours": "rgb"}, "rgb"),
        (Land, {}, "none"),
        (Radar, {}, "none"),
        (Radar, {"colours": "rgb"}, "rgb"),
        (Unmeasured, {"colours": "none"}, "none"),
        (Unmeasured, {"channels": 1, "depth": "uint16"}, "none"),
    ],
)
def test_colours_are_three_channels_of_whole_numbers(measured, settings, colours):
    """BYOL solarises photographs in colour, and nothing else; the run that began so goes on."""
    chosen, said = resolved_for(measured, **settings)
    a = chosen.augment
    off = (a.saturation, a.hue, a.grayscale, a.solarize) == (0, 0, 0, (0, 0))
    assert (a.colours, off) == (colours, colours != "rgb")
    assert any("channels are no colours" in text for text in said) == (colours == "none")
    assert any("the images are grey" in text for text in said) == (colours == "grey")
    assert a.jitter > 0
    assert not difference(chosen, recipe.wanted("byol", image_size=224, **settings), 100)
    again = recipe.wanted(**recipe.settings_of(chosen))
    assert resolve(again, 100, measured())[0] == chosen


def test_what_was_asked_for_of_grey_images_stays():
    a = resolved_for(Scans, solarize=(0.0, 0.2))[0].augment
    assert (a.solarize, a.grayscale, a.saturation) == ((0.0, 0.2), 0.0, 0.0)


def test_colour_operations_that_are_asked_for_without_colours():
    for name, value in dict(saturation=0.1, hue=0.1, grayscale=0.2, solarize=(0.0, 0.2)).items():
        with pytest.raises(UsageError, match=f"{name} is for red, green and blue"):
            resolved_for(Land, **{name: value})
    assert resolved_for(Land, hue=0.0, solarize=(0.0, 0.0))[0].augment.hue == 0


def test_crops_of_tiny_images_have_some_pixels():
    assert crops_of(8, (0.08, 1.0)) == {"crop_scale": (0.56, 1.0)}
    assert pytest.approx(CROP, abs=0.02) == 8 * 0.56**0.5
    assert crops_of(32, (0.08, 1.0)) == {}
    assert crops_of(4, (0.2, 0.9)) == {"crop_scale": (1.0, 1.0)}
