"""What a recipe leaves open follows the data; what is given stays."""

import pytest

import twofold
from tests.conftest import Unmeasured, tiny
from twofold.recipe import recipe
from twofold.recipe.declared import methods, spec
from twofold.recipe.resolve import difference, resolve


def chosen_for(name, images, **settings):
    return resolve(recipe.wanted(name, **settings), images, Unmeasured())


@pytest.mark.parametrize("name", methods())
def test_photographs_get_what_was_published_for_them(name):
    declared = spec(name)
    small, _ = chosen_for(name, 50_000, epochs=1000, image_size=32)
    large, said = chosen_for(name, 1_281_167, epochs=1000, image_size=224)
    had, has = recipe.settings_of(small), recipe.settings_of(large)
    assert all(had[key] == value for key, value in declared.recipe.items() if key not in declared.large)
    assert all(has[key] == value for key, value in declared.large.items())
    assert any("views of 224 pixels" in sentence for sentence in said) == bool(declared.large)


def test_cifar_10_keeps_the_published_settings():
    """1000 epochs of 50,000 images are as long as the published runs, so no rule shortens anything."""
    found = {name: chosen_for(name, 50_000, epochs=1000, image_size=32)[0].options for name in methods()}
    assert (found["moco"].queue, found["moco"].momentum) == (32768, (0.99, 0.999))
    assert found["byol"].momentum == found["mocov3"].momentum == found["joint"].momentum == (0.99, 1.0)
    assert (found["swav"].prototypes, found["dino"].prototypes, found["pirl"].negatives) == (3000, 4096, 4096)


def test_imagenet_gets_the_published_settings():
    found = {name: chosen_for(name, 1_281_167, epochs=300, image_size=224)[0].options for name in methods()}
    assert (found["moco"].queue, found["moco"].momentum) == (65536, (0.999, 0.999))
    assert found["byol"].momentum == (0.996, 1.0)
    assert (found["swav"].prototypes, found["dino"].prototypes, found["pirl"].negatives) == (3000, 65536, 32000)


def test_what_is_given_stays():
    got, said = chosen_for("simclr", 1000, temperature=0.2, projector=(64, 32), image_size=224)
    assert got.options.temperature == 0.2
    assert got.options.projector == (64, 32)
    assert got.augment.blur == (0.5, 0.5)
    assert said[0] == "views of 224 pixels: blur 0.5 0.5"
    assert "temperature" not in said[1]


@pytest.mark.parametrize(
    ("images", "epochs", "batch"),
    [
        (25_600, 10, 256),  # 1,000 steps
        (25_599, 10, 128),
        (12_800, 10, 128),  # 1,000 steps
        (12_799, 10, 64),
        (1000, 1, 64),
        (500, 999, 128),  # a batch of 256 would leave 244 images out of each epoch, and 999 steps
        (200, 1000, 256),  # all of them in each of 1,000 steps
        (None, 1, 256),
    ],
)
def test_a_batch_leaves_a_thousand_steps_if_it_can(images, epochs, batch):
    got, _ = chosen_for("vicreg", images, epochs=epochs)
    assert got.batch_size == batch
    assert chosen_for("vicreg", images, epochs=epochs, batch_size=32)[0].batch_size == 32


@pytest.mark.parametrize("name", methods())
def test_every_method_learns_by_adamw_at_one_rate_unless_its_file_says_another(name):
    usual = {"optimizer": "adamw", "lr": 0.002, "weight_decay": 0.01}
    expected = {key: spec(name).recipe.get(key, value) for key, value in usual.items()}
    for size in (32, 224):
        got, _ = chosen_for(name, 50_000, image_size=size)
        assert {key: getattr(got, key) for key in usual} == expected
    assert expected == usual or name in ("data2vec", "distill", "mae")


@pytest.mark.parametrize(
    ("optimizer", "lr", "weight_decay"), [("adamw", 0.002, 0.01), ("lars", 0.3, 0.0001), ("sgd", 0.1, 0.0001)]
)
def test_rate_and_decay_follow_the_optimizer(optimizer, lr, weight_decay):
    got, _ = chosen_for("simclr", 1000, optimizer=optimizer)
    assert (got.lr, got.weight_decay) == (lr, weight_decay)
    got, _ = chosen_for("simclr", 1000, optimizer=optimizer, lr=0.05, weight_decay=0.0)
    assert (got.lr, got.weight_decay) == (0.05, 0.0)


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_a_methods_own_rate_is_for_its_own_optimizer(optimizer):
    """0.015 and 5e-4 are AdamW's: another optimizer has the rates that it has for every method."""
    usual, _ = chosen_for("simclr", 1000, optimizer=optimizer)
    for method, own in (("distill", dict(lr=0.015)), ("data2vec", dict(lr=5e-4, weight_decay=0.05))):
        settings = dict(teacher="test_resnet") if method == "distill" else {}
        with_its_own, _ = chosen_for(method, 1000, **settings)
        assert {name: getattr(with_its_own, name) for name in own} == own
        other, _ = chosen_for(method, 1000, optimizer=optimizer, **settings)
        assert (other.lr, other.weight_decay) == (usual.lr, usual.weight_decay)
        wanted = recipe.wanted(method, optimizer=optimizer, **settings)
        assert wanted.get("lr") is None
        assert not difference(other, wanted, 1000)


def test_a_backbone_that_starts_from_weights_is_slower_and_waits_for_the_heads():
    plain, _ = chosen_for("vicreg", 1000, epochs=50, lr=0.03)
    assert (plain.backbone_lr, plain.heads_first, plain.keep_statistics) == (0.03, 0.0, False)
    assert plain.interpolate_weights == 1
    started, _ = chosen_for("vicreg", 1000, epochs=50, lr=0.03, weights="file.pth")
    assert started.backbone_lr == pytest.approx(0.012)
    assert (started.heads_first, started.keep_statistics, started.neighbours) == (5.0, True, 5)
    assert started.interpolate_weights == 0.5
    student, _ = chosen_for("distill", 1000, weights="file.pth", teacher="test_resnet")
    assert student.interpolate_weights == 1  # it is to have its teacher's features, not its start's
    for alone in (dict(method="vicreg", neighbours=0), dict(method="rotation")):
        careful, _ = chosen_for(alone.pop("method"), 1000, lr=0.03, weights="file.pth", **alone)
        assert careful.neighbours == 0
        assert careful.backbone_lr == pytest.approx(0.003)
    given, _ = chosen_for("vicreg", 1000, weights="file.pth", backbone_lr=0.5, heads_first=0.0)
    assert (given.lr, given.backbone_lr, given.heads_first) == (0.002, 0.5, 0.0)


def test_a_crop_has_six_pixels_a_side_at_least():
    digits, said = chosen_for("simclr", 1000)  # of 8 pixels
    assert digits.augment.crop_scale == digits.augment.second_scale == (0.56, 1.0)  # (6 / 8) squared
    assert any("images of 8 pixels: crop_scale 0.56 1.0" in sentence for sentence in said)
    assert not difference(digits, recipe.wanted("simclr"), 1000)  # the same command goes on
    given, _ = chosen_for("simclr", 1000, crop_scale=(0.1, 0.9))
    assert given.augment.crop_scale == (0.1, 0.9)
    usual, _ = chosen_for("simclr", 1000, image_size=32)
    assert usual.augment.crop_scale == (0.08, 1.0)


def test_a_queue_is_never_longer_than_the_data():
    free, said = chosen_for("moco", 1200, epochs=200, batch_size=256, image_size=32)
    assert free.options.queue == 800
    assert said == [
        "chosen for 1200 images, 800 steps (--help has the rules): stem small, lr 0.002, weight_decay 0.01, "
        "momentum 0.99 0.9969, queue 800"
    ]
    given, said = chosen_for("moco", 1200, epochs=200, queue=5000, image_size=32)
    assert given.options.queue == 1200
    assert "queue 1200, not 5000: there are no more images" in said
    closed = dict(stem="small", batch_size=64, lr=0.1, weight_decay=0.0)
    off, said = chosen_for("moco", 1200, queue=0, momentum=(0.5, 0.5), image_size=32, **closed)
    assert off.options.queue == 0
    assert said == []


def test_a_short_run_gets_a_short_memory():
    got, said = chosen_for("byol", 1000, epochs=4, batch_size=100, image_size=32)
    assert got.options.momentum == (0.5, 1.0)  # 40 steps: a look back over two
    assert said[0].endswith("momentum 0.5 1.0")
    few, _ = chosen_for("swav", 1000, image_size=32)
    assert few.options.prototypes == 100


@pytest.mark.parametrize(
    ("queue", "words"), [({}, "queue 64"), ({"queue": 999}, "queue 256, not 999: there are no more images")]
)
def test_it_is_said_and_the_same_command_goes_on(queue, words, tmp_path):
    first = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("moco", epochs=1, **queue))
    assert words in (tmp_path / "run" / "log.txt").read_text()
    again = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("moco", epochs=1, **queue))
    assert again.metrics == first.metrics
