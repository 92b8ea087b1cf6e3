"""What follows the trained network slowly, without a gradient."""

import copy

import torch
from torch import Tensor, nn


class MomentumEncoder(nn.Module):
    """A moving average of other modules: a copy of them that only `follow` changes.

    Norm statistics are its own, from the batches that pass through it, as in the published codes.
    """

    def __init__(self, *online: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(copy.deepcopy(module) for module in online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """The stages one after the other."""
        for stage in self.stages:
            images = stage(images)
        return images

    @torch.no_grad()
    def follow(self, *online: nn.Module, momentum: float) -> None:
        """weights <- momentum * weights + (1 - momentum) * online weights."""
        mine: list[Tensor] = list(self.stages.parameters())
        theirs: list[Tensor] = [p for module in online for p in module.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - momentum)
