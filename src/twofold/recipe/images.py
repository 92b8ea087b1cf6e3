"""Settings that follow from what the images are: tiny, or without colours."""

from typing import Any

from twofold.errors import UsageError

CROP = 6
"""side in pixels of the smallest crop, of images as small as scikit-learn's digits"""
COLOURLESS: dict[str, Any] = {
    "saturation": 0.0, "hue": 0.0, "grayscale": 0.0, "solarize": (0.0, 0.0), "small_solarize": 0.0,
}  # fmt: skip
"""settings that are for colours, and what they are where there are none"""

COLOURLESS_SAID = {
    "grey": "the images are grey: there is no saturation, hue, greyscale or solarising",
    "none": "the images' channels are no colours: the jitter is a gain and an offset of each channel, and there is no "
    "saturation, hue, greyscale or solarising",
}


def crops_of(size: int, scale: tuple[float, float]) -> dict[str, Any]:
    """A method's ``crop_scale``, where images of so many pixels are too small for it: a crop has 6 a side, at least."""
    least = min(1.0, round((CROP / size) ** 2, 2))
    return {"crop_scale": (least, max(least, scale[1]))} if scale[0] < least else {}


def without_colours(colours: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that follow from what channels are, ``rgb``, ``grey`` or ``none``, beside those that were given.

    Raises:
        UsageError: for a setting that is for colours and was asked for, where channels are bands.
    """
    if colours == "rgb":
        return {}
    unused = ("saturation", "hue") if given.get("jitter") == 0 else ()  # strengths of a jitter that is off
    for name, off in COLOURLESS.items():
        if colours == "none" and given.get(name, off) != off and name not in unused:
            raise UsageError(f"{name} is for red, green and blue; these images' channels are no colours (--colours)")
    return {name: off for name, off in COLOURLESS.items() if colours == "none" or name not in given}
