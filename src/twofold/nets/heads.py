"""Projector, expander and predictor: one builder of multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(width_in: int, widths: Sequence[int], norm: str = "batch", last_norm: bool = False) -> nn.Module:
    """Linear layers to each of ``widths`` in turn, [N, width_in] -> [N, widths[-1]]; no widths: the identity.

    A norm (``batch``, ``layer`` or ``none``) and a ReLU follow every layer but the last. ``last_norm`` puts a norm
    without scale and shift after the last. A layer that a norm follows has no bias, which the norm would take away.
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
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers) if layers else nn.Identity()
