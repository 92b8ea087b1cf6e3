"""Projector, expander and predictor, by one builder of multi-layer perceptrons; prototypes."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from twofold.errors import UsageError

relu = partial(nn.ReLU, inplace=True)


def mlp(
    width_in: int,
    widths: Sequence[int],
    norm: str = "batch",
    last_norm: bool = False,
    activation: Callable[[], nn.Module] = relu,
) -> nn.Module:
    """Linear layers to each of ``widths`` in turn, [N, width_in] -> [N, widths[-1]]; no widths: the identity.

    A norm (``batch``, ``layer`` or ``none``) and an activation follow every layer but the last. ``last_norm`` puts a
    norm without scale and shift after the last. A layer before a norm has no bias, which the norm would take away.
    """
    layers: list[nn.Module] = []
    every = [width_in, *widths]
    for i, (before, after) in enumerate(pairwise(every), start=1):
        last = i == len(widths)
        normed = norm != "none" and (last_norm or not last)
        layers.append(nn.Linear(before, after, bias=not normed))
        if normed:
            kind = (
                nn.BatchNorm1d(after, affine=not last)
                if norm == "batch"
                else nn.LayerNorm(after, elementwise_affine=not last)
            )
            layers.append(kind)
        if not last:
            layers.append(activation())
    return nn.Sequential(*layers) if layers else nn.Identity()


class Prototypes(nn.Module):
    """Unit vectors that unit embeddings are compared with: [N, width] -> cosines [N, count], in float32 or better.

    The weights are used at length 1 whatever their own (weight normalisation with its gain fixed at 1). With ``gain``
    each has a length of its own to learn, 1 at first, and the output is cosines times that.
    """

    def __init__(self, width: int, count: int, gain: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.functional.normalize(torch.randn(count, width)))
        self.gain = nn.Parameter(torch.ones(count, 1)) if gain else None

    def forward(self, embeddings: Tensor, frozen: bool = False) -> Tensor:
        """``frozen``: the prototypes get no gradient."""
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = nn.functional.normalize(embeddings.to(self.weight.dtype), dim=1)
            weight = nn.functional.normalize(self.weight, dim=1)
            weight = weight if self.gain is None else self.gain * weight
            return rows @ (weight.detach() if frozen else weight).T


def predictor(width: int, widths: Sequence[int], norm: str = "batch", last_norm: bool = False) -> nn.Module:
    """A predictor: an `mlp` that ends in the width it begins with.

    Raises:
        UsageError: if it does not.
    """
    if widths and widths[-1] != width:
        raise UsageError(f"the predictor must end as the projector does, in {width}, not {widths[-1]}")
    return mlp(width, widths, norm, last_norm)
