"""What a run says of itself before its first step."""

import math
from dataclasses import replace

import pytest
import timm
from torch import nn

from tests.training.making import pretrain
from twofold.nets.layers import keep_statistics
from twofold.nets.synchronised import synchronise
from twofold.recipe.augment import Augment
from twofold.recipe.general import Recipe
from twofold.training.notes import of_few, unlike_one


def test_accumulation_says_what_it_does_to_the_loss(tmp_path):
    run = pretrain(tmp_path / "run", accumulate=2, epochs=1)
    assert run.metrics[0]["collapsed"] == pytest.approx(math.log(63))  # each loss sees 32 of the 64 images
    assert "every loss sees 32 images at a time, not 64" in (run.path / "log.txt").read_text()


def test_too_few_images_or_steps_are_pointed_out(tmp_path):
    run = pretrain(tmp_path / "run", limit=128, epochs=1)
    assert "128 images are few to learn from" in (run.path / "log.txt").read_text()
    assert of_few(run.recipe, 200, 49, False) == ["49 steps are few to learn from random weights: more --epochs"]
    assert of_few(run.recipe, 200, 50, False) == []
    colours, bands = (replace(run.recipe, channels=channels) for channels in (3, 4))
    assert "published weights as they are (twofold embed MODEL DATA)" in of_few(colours, 90, 50, False)[0]
    assert "published weights (--weights published)" in of_few(bands, 90, 50, False)[0]  # which adapts the first layer


def test_photographs_whose_network_has_published_weights_are_told_of_them():
    """Not images that are small, not in colour or many, not a network of other sizes, nor a run that has a teacher."""

    def said(images=2000, steps=1000, taught=False, colours="rgb", **changes):
        settings = Recipe(augment=Augment(colours=colours), **{"backbone": "resnet18", "image_size": 96} | changes)
        return " ".join(of_few(settings, images, steps, taught))

    assert "twofold evaluate resnet18 DATA measures" in said()
    assert "49 steps are few" in said(steps=49)
    assert "--weights published" in said(steps=49)
    for other in (
        dict(image_size=64), dict(colours="grey"), dict(colours="none"), dict(images=50_000), dict(taught=True),
        dict(backbone="resnet10t_of_mine"), dict(backbone_arguments={"layers": (1, 1, 1, 1)}), dict(weights="w.pth"),
    ):  # fmt: skip
        assert said(**other) == "", other


class Own(nn.BatchNorm2d):
    def forward(self, x):
        return x


def test_what_several_processes_compute_otherwise_is_said():
    """Batch norm of a kind that is not known, dropout and drop path; nothing where there is none of them."""
    network = synchronise(timm.create_model("test_resnet", num_classes=0))
    assert unlike_one(network.train()) == []
    keep_statistics(kept := nn.Sequential(Own(3)))
    assert unlike_one(kept.train()) == []
    assert "Own: each of the 1 processes normalises its own images" in unlike_one(Own(3).train())
    for share in ({"drop_path_rate": 0.5}, {"proj_drop_rate": 0.5}):
        transformer = timm.create_model("test_vit", num_classes=0, **share)
        assert "dropout and drop path draw different numbers" in unlike_one(transformer.train())[0]
        assert unlike_one(transformer.eval()) == []
