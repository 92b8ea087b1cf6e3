"""The settings of what distorts images into views: a part of a recipe, and those of `twofold.Views`."""

from dataclasses import dataclass
from typing import Literal

from twofold.recipe import rules
from twofold.recipe.settings import setting


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What distorts an image into a view. Pairs give the first and the second view their own probability."""

    crop_scale: tuple[float, float] = setting(
        (0.2, 1.0), "share of the image's area that a crop covers, lowest and highest", above=0, high=1, ordered=True
    )
    second_scale: tuple[float, float] = setting(
        None, "the same of the second view", above=0, high=1, ordered=True, auto=rules.second_scale
    )
    crop_ratio: tuple[float, float] = setting(
        (0.75, 1.3333333333333333), "width over height of a crop, lowest and highest", above=0, ordered=True
    )
    interpolation: Literal["bilinear", "bicubic"] = setting(
        None, "filter that resizes a crop", auto=rules.interpolation
    )
    colours: Literal["rgb", "grey", "none"] = setting(
        None,
        "what channels are: red, green and blue; grey, three times the same; none: bands of measurements, whose jitter "
        "is a gain (1 +- contrast) and an offset (+- brightness standard deviations) of each. The last two have no "
        "saturation, hue, greyscale, solarising",
        auto=rules.colours,
    )
    flip: float = setting(None, "probability of a horizontal flip", low=0, high=1, auto=rules.flip)
    jitter: float = setting(0.8, "probability of the colour jitter", low=0, high=1)
    brightness: float = setting(0.4, "brightness factor is drawn from 1 +- this", low=0)
    contrast: float = setting(0.4, "contrast factor is drawn from 1 +- this", low=0)
    saturation: float = setting(0.4, "saturation factor is drawn from 1 +- this", low=0)
    hue: float = setting(0.1, "hue is shifted by +- this share of the circle", low=0, high=0.5)
    grayscale: float = setting(0.2, "probability of dropping the colours", low=0, high=1)
    blur: tuple[float, float] = setting(
        (0.0, 0.0), "probability of the Gaussian blur, first and second view", low=0, high=1
    )
    blur_sigma: tuple[float, float] = setting(
        (0.1, 2.0), "width of the blur in pixels, lowest and highest", above=0, ordered=True
    )
    solarize: tuple[float, float] = setting(
        (0.0, 0.0), "probability of inverting the bright pixels, first and second view", low=0, high=1
    )
    small_crops: int = setting(0, "multi-crop: how many small views to add to the two full-size ones", low=0, high=64)
    small_size: int = setting(None, "side of the small views in pixels", low=0, auto=rules.small_size)
    small_scale: tuple[float, float] = setting(
        (0.05, 0.2), "share of the image's area that a small view covers, lowest and highest", above=0, high=1,
        ordered=True,
    )  # fmt: skip
    small_blur: float = setting(0.0, "probability of the Gaussian blur, small views", low=0, high=1)
    small_solarize: float = setting(0.0, "probability of inverting the bright pixels, small views", low=0, high=1)
    distortions: tuple[str, ...] = setting((), "own ones after all others, each a package.module:Class")
    mask: tuple[float, float] = setting(
        (0.0, 0.0),
        "share of the patches that are masked, first and second view; a vision transformer drops them and their work",
        low=0, high=1,
    )  # fmt: skip
    mask_shape: Literal["random", "block"] = setting("random", "masked patches lie anywhere, or in rectangles")
    mask_fill: bool = setting(
        False, "paint masked patches in the mean colour instead: all that a convolutional backbone can do"
    )
