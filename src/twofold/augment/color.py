"""Colour operations on whole batches, every sample with its own parameters. Images are float [n, 3, h, w], 0 to 1.

What takes their place where channels are no colours but bands of measurements is `band_jitter`.

Same definitions as torchvision's: brightness, contrast and saturation blend the image with black, with the
mean of its grey version, and with its grey version; hue turns the HSV circle.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "n 3 h w"]
PerSample = Float[Tensor, " n"]

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601-2, rounded as torchvision rounds it


def luma(images: Images) -> Float[Tensor, "n 1 h w"]:
    """Brightness as the eye weighs it."""
    red, green, blue = images.split(1, dim=1)
    grey: Tensor = LUMA[0] * red
    return grey.add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_brightness(images: Images, factor: PerSample) -> Images:
    """Blend with black: factor 0 gives black, 1 the image."""
    zero = torch.zeros_like(factor)
    return _blend(images, factor, zero, zero)


def adjust_contrast(images: Images, factor: PerSample) -> Images:
    """Blend with the mean grey: factor 0 gives a grey plane, 1 the image."""
    return _blend(images, factor, torch.zeros_like(factor), 1 - factor)


def adjust_saturation(images: Images, factor: PerSample) -> Images:
    """Blend with the grey version: factor 0 gives it, 1 the image."""
    return _blend(images, factor, 1 - factor, torch.zeros_like(factor))


def adjust_hue(images: Images, shift: PerSample) -> Images:
    """Turn the hue by ``shift`` of the circle, -0.5 to 0.5."""
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - low
    scale = 1 / chroma.clamp_min(1e-8)  # without chroma every difference below is 0, whatever the scale
    # The hue in sixths of the circle from red; which channel is highest decides.
    hue = torch.where(value == green, (blue - red).mul_(scale).add_(2), (red - green).mul_(scale).add_(4))
    hue = torch.where(value == red, (green - blue).mul_(scale), hue)
    hue.add_(6 * shift[:, None, None])
    hue.sub_((hue / 6).floor_().mul_(6))
    result = torch.empty_like(images)
    # Each channel rises from `low` by `chroma` around its own place on the circle: red 0, green 2, blue 4.
    for channel, rise in enumerate(((hue - 3).abs_().sub_(1), 2 - (hue - 2).abs_(), 2 - (hue - 4).abs_())):
        torch.addcmul(low, chroma, rise.clamp_(0, 1), out=result[:, channel])
    return result


def color_jitter(
    images: Images,
    factors: Float[Tensor, "n 4"],
    blends: Int[Tensor, "n 3"],
    by_hue: Int[Tensor, " n"],
    ends: Sequence[int],
) -> Images:
    """Brightness, contrast, saturation (0, 1, 2) in each sample's order ``blends``, the hue somewhere among them.

    ``factors`` are the four's, in that naming order; neutral are 1, 1, 1, 0. ``by_hue``: the samples' numbers in the
    order of how many blends come before their hue; ``ends``: for 0 to 3 blends, how many samples have so many or fewer.
    So those with a blend still before the hue, or after it, are a slice, whose size is known without asking the device,
    and the hue, the costly one, is turned once for all.
    """
    factors, blends, images = factors[by_hue], blends[by_hue], images[by_hue]
    for place in range(3):
        _one_of(images, factors, blends[:, place], slice(ends[place], None))
    images = adjust_hue(images, factors[:, 3])
    for place in range(3):
        _one_of(images, factors, blends[:, place], slice(0, ends[place]))
    return torch.empty_like(images).index_copy_(0, by_hue, images)


def _one_of(images: Tensor, factors: Tensor, operation: Tensor, rows: slice) -> None:
    """Brightness (0), contrast (1) or saturation (2), as ``operation`` says for each of the rows, in place."""
    part, operation = images[rows], operation[rows]
    if len(part):
        factor = factors[rows].gather(1, operation[:, None])[:, 0]
        rest = 1 - factor
        _blend(part, factor, rest * (operation == 2), rest * (operation == 1), out=part)


def to_grayscale(images: Images, chosen: Bool[Tensor, " n"]) -> Images:
    """Drop the colours of the chosen samples."""
    return adjust_saturation(images, 1 - chosen.float())


def solarize(
    images: Float[Tensor, "n c h w"], chosen: Bool[Tensor, " n"], threshold: float = 128 / 255
) -> Float[Tensor, "n c h w"]:
    """Invert the values at or above ``threshold`` in the chosen samples; of any number of channels."""
    return torch.where(_wide(chosen) & (images >= threshold), 1 - images, images)


def band_jitter(
    images: Float[Tensor, "n c h w"], gain: Float[Tensor, "n c"], offset: Float[Tensor, "n c"]
) -> Float[Tensor, "n c h w"]:
    """Each channel's deviation from its mean in the image times ``gain``, plus ``offset``; values of any range."""
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean).mul_(gain[:, :, None, None]).add_(mean).add_(offset[:, :, None, None])


def _blend(images: Tensor, keep: Tensor, grey: Tensor, mean: Tensor, out: Tensor | None = None) -> Tensor:
    """``keep * image + grey * its grey version + mean * the mean of that``, a weight each a sample."""
    plane = luma(images)
    level = plane.mean((1, 2, 3)) * mean
    plane.mul_(_wide(grey)).add_(_wide(level))
    return torch.addcmul(plane, images, _wide(keep), out=out).clamp_(0, 1)


def _wide(per_sample: Tensor) -> Tensor:
    return per_sample[:, None, None, None]
