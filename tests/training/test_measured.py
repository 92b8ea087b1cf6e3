"""What a run's rules ask of its images and the machine."""

import math

import numpy as np
import pytest
import torch

from tests.conftest import VIT, picture
from tests.training.making import pretrain
from twofold.data.inspection import Inspection
from twofold.data.sources import Array
from twofold.recipe import recipe
from twofold.recipe.resolve import resolve
from twofold.training.measured import Measurements


def test_small_crops_are_whole_patches(tmp_path):
    run = pretrain(
        tmp_path / "run", "dino", small_crops=1, epochs=1, limit=64, **{**VIT, "image_size": 48, "backbone": "test_vit"}
    )
    assert run.recipe.augment.small_size == 18  # patches of 6
    assert math.isfinite(run.metrics[-1]["loss"])


def measured(images, **settings):
    inspection = Inspection(Array(images), 1)
    return Measurements(inspection, torch.device("cpu"), recipe.wanted("simclr", **settings))


@pytest.mark.parametrize(
    ("side", "natural"), [(12, 12), (63, 63), (64, 64), (65, 64), (95, 80), (96, 96), (239, 224), (400, 224)]
)
def test_views_are_as_large_as_small_images_are_and_up_to_224_pixels_in_whole_patches(side, natural):
    assert measured(np.zeros((2, 3, side, side), np.uint8)).natural_size == natural


def test_colours_and_layers_are_measured_on_what_is_there():
    images = np.stack([picture(16, 16, i).transpose(2, 0, 1) for i in range(6)])
    found = measured(images)
    colours = images.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    for ours, plain in zip(found.statistics, (colours.mean(1), colours.std(1)), strict=True):
        assert ours == pytest.approx(plain.tolist(), abs=1e-3)
    chosen, _ = resolve(recipe.wanted("simclr", backbone="resnet18"), 6, found)
    assert (chosen.image_size, chosen.stem, chosen.resident, chosen.precision) == (16, "small", True, found.precision)


def test_grey_images_are_those_whose_channels_are_alike_in_every_one():
    images = np.stack([picture(16, 16, i).transpose(2, 0, 1) for i in range(6)])
    scans = images.mean(1, keepdims=True).astype(np.uint8).repeat(3, 1)
    assert (measured(images).grey, measured(scans).grey) == (False, True)
    assert not measured(np.concatenate([scans, images[:1]])).grey


@pytest.mark.parametrize("resident", [True, False])
def test_who_asks_for_memory_gets_it(resident):
    assert measured(np.zeros((2, 3, 8, 8), np.uint8), resident=resident).fits_in_memory(2) == resident
