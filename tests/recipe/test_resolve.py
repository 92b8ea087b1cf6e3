"""What is chosen where nothing was given, and what a request would change in a run that is there."""

from tests.conftest import resolved
from twofold.recipe import recipe
from twofold.recipe.resolve import difference


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


def test_from_weights_there_are_no_small_crops_but_those_asked_for():
    assert resolved("swav", image_size=224).augment.small_crops == 6
    old = resolved("swav", image_size=224, weights="some.safetensors")
    assert (old.augment.small_crops, old.augment.small_size) == (0, 0)
    assert difference(old, recipe.wanted("swav", image_size=224, weights="some.safetensors", epochs=old.epochs)) == []
    asked = resolved("swav", image_size=224, weights="some.safetensors", small_crops=4)
    assert (asked.augment.small_crops, asked.augment.small_size) == (4, 96)
