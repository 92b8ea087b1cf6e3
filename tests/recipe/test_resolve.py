"""What is chosen where nothing was given, and what a request would change in a run that is there."""

import pytest

from tests.conftest import Unmeasured, resolved
from twofold.errors import UsageError
from twofold.recipe import recipe
from twofold.recipe.resolve import difference, resolve


def test_difference_ignores_how_a_run_is_carried_out_and_what_is_automatic():
    old = resolved("vicreg", image_size=64, precision="bf16", epochs=5)
    assert difference(old, recipe.wanted("vicreg", epochs=5, workers=3, out="x", device="cpu")) == []
    other = recipe.wanted("vicreg", epochs=6, image_size=32)
    assert difference(old, other) == ["image_size: 64 -> 32", "epochs: 5 -> 6"]
    assert difference(old, recipe.wanted("vicreg", epochs=5, variance=1)) == ["variance: 25.0 -> 1.0"]
    assert difference(old, recipe.wanted("vicreg")) == ["epochs: 5 -> 100"]
    assert "method: vicreg -> simclr" in difference(old, recipe.wanted("simclr", epochs=5))


def test_a_memory_as_long_as_the_data_is_what_a_longer_one_comes_to():
    old = resolved("moco", images=300, queue=999)
    assert old.options.queue == 300
    assert difference(old, recipe.wanted("moco", queue=999), 300) == []
    assert difference(old, recipe.wanted("moco", queue=200), 300) == ["queue: 300 -> 200"]


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
