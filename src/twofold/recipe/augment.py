"""The settings of what distorts images into views: a part of a recipe, and those of `twofold.Views`."""

from dataclasses import dataclass
from typing import Literal

from twofold.recipe import rules
from twofold.recipe.settings import setting


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What distorts an image into a view. Where a setting has a pair of probabilities, each view has its own."""

    crop_scale: tuple[float, float] = setting(
        (0.2, 1.0),
        "smallest and largest share of the image's area that a crop covers; if it is not given, no crop has fewer than "
        "6 x 6 pixels",
        above=0,
        high=1,
        ordered=True,
    )
    second_scale: tuple[float, float] = setting(
        None, "the same as crop_scale, for the second view", above=0, high=1, ordered=True, auto=rules.second_scale
    )
    crop_ratio: tuple[float, float] = setting(
        (0.75, 1.3333333333333333),
        "smallest and largest ratio of a crop's width to its height",
        low=0.001,
        high=1000,
        ordered=True,
    )
    interpolation: Literal["bilinear", "bicubic"] = setting(
        None, "filter that crops are resized with", auto=rules.interpolation
    )
    colours: Literal["rgb", "grey", "none"] = setting(
        None,
        "what the channels are; rgb: red, green and blue; grey: three times the same; none: bands of measurements, "
        "whose jitter is a gain (1 +- contrast) and an offset (+- brightness standard deviations) for each band; grey "
        "and none turn off saturation, hue, grayscale and solarize",
        auto=rules.colours,
    )
    flip: float = setting(None, "probability of a horizontal flip", low=0, high=1, auto=rules.flip)
    turn: float = setting(
        0.0,
        "probability that a view is turned by 90, 180 or 270 degrees, for images that have no up, as from microscopes "
        "and satellites; with 0.75 all four ways are equally likely",
        low=0,
        high=1,
    )
    jitter: float = setting(
        0.8, "probability of the colour jitter, which changes brightness, contrast, saturation and hue", low=0, high=1
    )
    brightness: float = setting(0.4, "the factor that multiplies the brightness is drawn from 1 +- this", low=0)
    contrast: float = setting(0.4, "the factor that multiplies the contrast is drawn from 1 +- this", low=0)
    saturation: float = setting(0.4, "the factor that multiplies the saturation is drawn from 1 +- this", low=0)
    hue: float = setting(
        0.1, "the hue is shifted by at most this share of the colour circle, either way", low=0, high=0.5
    )
    grayscale: float = setting(0.2, "probability that a view becomes grey", low=0, high=1)
    blur: tuple[float, float] = setting(
        (0.0, 0.0), "probability of the Gaussian blur for the first and for the second view", low=0, high=1
    )
    blur_sigma: tuple[float, float] = setting(
        (0.1, 2.0), "smallest and largest standard deviation of the blur in pixels", above=0, ordered=True
    )
    solarize: tuple[float, float] = setting(
        (0.0, 0.0), "probability of inverting the bright pixels of the first and of the second view", low=0, high=1
    )
    small_crops: int = setting(0, "how many small views are added to those of full size (multi-crop)", low=0, high=64)
    small_size: int = setting(None, "side of a small view in pixels", low=0, auto=rules.small_size)
    small_scale: tuple[float, float] = setting(
        (0.05, 0.2), "smallest and largest share of the image's area that a small view covers", above=0, high=1,
        ordered=True,
    )  # fmt: skip
    small_blur: float = setting(0.0, "probability of the Gaussian blur for each small view", low=0, high=1)
    small_solarize: float = setting(0.0, "probability of inverting the bright pixels of each small view", low=0, high=1)
    distortions: tuple[str, ...] = setting(
        (), "distortions of your own, applied after all others, each named package.module:Class"
    )
    mask: tuple[float, float] = setting(
        (0.0, 0.0),
        "share of the patches that are masked in the first and in the second view; a vision transformer leaves them "
        "out, which saves their computation",
        low=0, high=1,
    )  # fmt: skip
    mask_shape: Literal["random", "block"] = setting(
        "random", "where masked patches lie; random: anywhere; block: in rectangles"
    )
    mask_fill: bool = setting(
        False,
        "whether masked patches are painted in the mean colour instead of left out, as convolutional backbones need it",
    )
