"""What a recipe leaves open follows the data; what is given stays."""

import pytest

import twofold
from tests.conftest import tiny
from twofold import methods
from twofold.recipe import recipe
from twofold.training.resolve import follow


@pytest.mark.parametrize("name", methods.TABLE)
def test_photographs_get_what_was_published_for_them(name):
    large = {k: v for k, v in methods.spec(name).large.items() if k not in recipe.FOLLOWING}
    small, said = follow(recipe.make(name, epochs=1000), 32, 50_000)
    big, told = follow(recipe.make(name, epochs=1000), 224, 1_281_167)
    changed = recipe.settings_of(big)
    assert all(changed[key] == value for key, value in large.items())
    assert small == recipe.make(name, epochs=1000), said  # CIFAR-10 itself keeps the published settings
    assert any("224" in sentence for sentence in told)


def test_what_is_given_stays():
    wanted = recipe.make("simclr", temperature=0.2, projector=(64, 32))
    got, said = follow(wanted, 224, 1000)
    assert got.options.temperature == 0.2
    assert got.options.projector == (64, 32)
    assert got.augment.blur == (0.5, 0.5)
    assert said == ["views of 224 pixels: blur 0.5 0.5, not 0.0 0.0"]


def test_a_queue_is_never_longer_than_the_data():
    free, said = follow(recipe.make("moco", epochs=200), 32, 1200)
    assert free.options.queue == 800
    assert "1200 images: queue 800, not 32768" in said
    given, said = follow(recipe.make("moco", epochs=200, queue=5000), 32, 1200)
    assert given.options.queue == 1200
    assert "1200 images: queue 1200, not 5000" in said
    off, said = follow(recipe.make("moco", queue=0, momentum=(0.5, 0.5)), 32, 1200)
    assert off.options.queue == 0
    assert said == []


def test_a_short_run_gets_a_short_memory():
    got, said = follow(recipe.make("byol", epochs=4, batch_size=100), 32, 1000)
    assert got.options.momentum == (0.5, 1.0)  # 40 steps: a look back over two
    assert said == ["a run of 40 steps: momentum 0.5 1.0, not 0.99 1.0"]
    few, _ = follow(recipe.make("swav"), 32, 1000)
    assert few.options.prototypes == 100


@pytest.mark.parametrize(("queue", "words"), [({}, "queue 64, not 32768"), ({"queue": 999}, "queue 256, not 999")])
def test_it_is_said_and_the_same_command_goes_on(queue, words, tmp_path):
    first = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("moco", epochs=1, **queue))
    assert f"256 images: {words}" in (tmp_path / "run" / "log.txt").read_text()
    again = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("moco", epochs=1, **queue))
    assert again.metrics == first.metrics
