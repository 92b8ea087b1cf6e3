"""The normalisation of images, in its one place: training's views and frozen features go through the same module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Shifts and scales each channel: images [N, C, H, W] -> (images - mean) / std.

    Images are floats from 0 to 1, or uint8 from 0 to 255, which are divided by 255 first. ``mean`` and ``std`` have one
    number a channel, for images from 0 to 1. They follow the images to any device, and are in no state_dict.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        return (images - self.mean.to(images.device)) / self.std.to(images.device)

    def undo(self, normalised: Tensor) -> Tensor:
        """The images, 0 to 1, that were normalised."""
        return normalised * self.std.to(normalised.device) + self.mean.to(normalised.device)
