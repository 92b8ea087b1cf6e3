"""The normalisation of images, in its one place: training's views and frozen features go through the same module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def unit(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images as floats: whole numbers from 0 to 1, of the highest value that their type has; floats as they are.

    What is made of whole numbers lies in memory one channel after the other, as distortions are fastest.
    """
    if images.is_floating_point():
        return images
    return images.to(dtype, memory_format=torch.contiguous_format).div_(torch.iinfo(images.dtype).max)


class Normalize(nn.Module):
    """Shifts and scales each channel: images [N, C, H, W] -> (images - mean) / std.

    Whole numbers, uint8 or uint16, are divided by the highest one first; floats are taken as they are. ``mean`` and
    ``std`` have one number a channel, of images as `unit` makes them. They follow the images to any device, and are in
    no state_dict.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.mean.device != images.device:
            self.to(images.device)  # once, not in every step
        images = unit(images, self.mean.dtype)
        return (images - self.mean) / self.std

    def undo(self, normalised: Tensor) -> Tensor:
        """The images, as `unit` makes them, that were normalised."""
        return normalised * self.std.to(normalised.device) + self.mean.to(normalised.device)
