"""A step in parts or in chunks: what a user should know of it."""

from torch import nn

from twofold import dist
from twofold.methods.base import Method
from twofold.recipe.general import Recipe


def notes(settings: Recipe, method: Method, batch: int) -> list[str]:
    """What ``accumulate`` and ``chunk`` do to a step of ``batch`` images, in words."""
    said, part = [], batch // settings.accumulate
    if settings.accumulate > 1:
        said.append(
            f"accumulate {settings.accumulate}: every loss sees {part} images at a time, not "
            f"{batch}: fewer negatives and coarser batch statistics than one step of {batch} would have"
        )
    if method.chunk and method.chunk < part // dist.world():
        norms = [m for m in method.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        exact = (
            f"batch norms of the backbone take mean and variance of {method.chunk} at most, not of all"
            if any(norm.training for norm in norms)
            else "the gradient is that of passing all at once"
        )
        said.append(
            f"chunk {method.chunk}: the backbone takes {method.chunk} images at a time, twice; projector and loss "
            f"see {part}; {exact}"
        )
    return said
