"""What claims are measured on."""

import numpy as np
import pytest
import torch

from twofold.claims.stage import Stage, order, pooled
from twofold.errors import UsageError


def test_what_is_held_out_is_not_learned_from_and_differs_by_seed():
    first, again, other = Stage(seed=0), Stage(seed=0), Stage(seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    images, _ = pooled("digits")
    together = torch.cat([first.images, first.test_images])
    assert len(first.test_images) == len(images) // 3
    assert torch.equal(together.flatten(1).unique(dim=0), images.flatten(1).unique(dim=0))
    assert len(together) == len(images)


def test_first_weights_are_a_function_of_the_seed():
    a, b, c = (Stage(seed=seed).method("simclr", projector=(8,)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["backbone.0.weight"], c["backbone.0.weight"])


def test_an_epoch_has_each_image_once():
    numbers = order(0, 10, 25)
    assert len(numbers) == 25
    assert sorted(numbers[:10].tolist()) == sorted(numbers[10:20].tolist()) == list(range(10))
    assert numbers[:10].tolist() != numbers[10:20].tolist()


def test_training_lowers_the_loss_and_betters_the_features():
    stage, steps = Stage(), []
    before = stage.few(stage.backbone())
    method = stage.method("simclr", projector=(64, 32), temperature=0.3)
    stage.train("mine", method, 40, watch=lambda step, output: steps.append(step), views=dict(blur=(1.0, 0.0)))
    assert steps == list(range(40))
    assert not method.training
    assert stage.few(method.backbone) > before + 5
    told = stage.trained["mine"]
    assert (told["method"], told["temperature"], told["steps"], told["blur"]) == ("simclr", 0.3, 40, (1.0, 0.0))


def test_steps_and_length_override_what_is_asked():
    stage, seen = Stage(length=2), []
    stage.train("a", stage.method("simclr", projector=(8,)), 2, batch=8, watch=lambda *_: seen.append(0))
    assert len(seen) == 4
    stage, seen = Stage(steps=1, length=2), []
    stage.train("a", stage.method("simclr", projector=(8,)), 2, batch=8, watch=lambda *_: seen.append(0))
    assert len(seen) == 1


def test_own_images_are_taken_and_shrunk():
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (30, 3, 40, 40), dtype=np.uint8)
    stage = Stage((images, [number % 2 for number in range(30)]))
    assert stage.size == 32
    assert (len(stage.images), len(stage.test_images)) == (20, 10)
    assert stage.augment["crop_scale"] == (0.2, 1.0)
    assert stage.features(stage.backbone(), test=True).shape == (10, 64)
    with pytest.raises(UsageError, match="labels"):
        Stage(images)
