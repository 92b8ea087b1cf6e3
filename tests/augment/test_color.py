"""Batched colour operations against torchvision's, image by image."""

import torch
from torchvision.transforms.v2 import functional as tv

from tests.augment.levels import FLOAT, N, assert_levels, each, factors
from twofold import rng
from twofold.augment import color
from twofold.augment.pipeline import pipelines, sent
from twofold.recipe.augment import Augment


# torchvision rounds a uint8 image to whole levels after every operation, we do not round at all: 0.5 for the rounding,
# and where it truncates instead of rounding, or rounds an intermediate (grey version, HSV), up to 1 or 1.5.
def test_brightness():
    assert_levels(color.adjust_brightness(FLOAT, factors(0, 2)), each(tv.adjust_brightness, factors(0, 2)), 1.01)


def test_contrast():
    assert_levels(color.adjust_contrast(FLOAT, factors(0, 2)), each(tv.adjust_contrast, factors(0, 2)), 2.01)


def test_saturation():
    assert_levels(color.adjust_saturation(FLOAT, factors(0, 2)), each(tv.adjust_saturation, factors(0, 2)), 2.01)


def test_hue():
    assert_levels(color.adjust_hue(FLOAT, factors(-0.5, 0.5)), each(tv.adjust_hue, factors(-0.5, 0.5)), 1.01)


def test_hue_of_zero_and_of_grey():
    torch.testing.assert_close(color.adjust_hue(FLOAT, torch.zeros(N)), FLOAT)
    torch.testing.assert_close(color.adjust_hue(FLOAT[:2], torch.tensor([0.3, -0.2])), FLOAT[:2])


def test_grayscale():
    ours = color.to_grayscale(FLOAT, torch.arange(N) % 2 == 0)
    assert_levels(ours[::2], each(lambda image: tv.rgb_to_grayscale(image, 3))[::2], 1.01)
    assert torch.equal(ours[1::2], FLOAT[1::2])


def test_solarize():
    ours = color.solarize(FLOAT, torch.arange(N) % 2 == 0)
    assert_levels(ours[::2], each(lambda image: tv.solarize(image, 128))[::2], 0.01)  # exact: no arithmetic to round
    assert torch.equal(ours[1::2], FLOAT[1::2])


def test_color_jitter_in_every_order():
    """Each sample's own order; 0.5 level of rounding an operation, grown by contrast factors of up to 1.8."""
    operations = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue]
    for seed in range(6):
        augment = Augment(jitter=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
        draws = pipelines(augment, 32)[0].draw(rng.Streams(seed), N)
        expected = []
        for row, image in enumerate(FLOAT):
            order = draws.blends[row].tolist()
            order.insert(int(draws.hue_place[row]), 3)
            for operation in order:  # on floats, where torchvision does not round
                image = operations[operation](image, draws.factors[row, operation].item())
            expected.append(image)
        (drawn,) = sent([draws], torch.device("cpu"))
        ours = color.color_jitter(FLOAT, draws.factors, draws.blends, drawn.by_hue, drawn.ends)
        assert_levels(ours, torch.stack(expected), 0.05)
