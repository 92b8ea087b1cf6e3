"""Dense features: a vector for each patch of an image, from the map that a backbone's pooling gets."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import Encode
from twofold.errors import UsageError
from twofold.nets.backbone import evaluating
from twofold.nets.normalize import unit

NUMBERS = 1 << 25
"""So many numbers of patches' features are held at once, 128 MiB of them, or one image's."""

RAW_SIDE = 8
"""A patch's raw pixels are at most so many a side."""

Grid = tuple[int, int]
"""How many patches an image has from top to bottom, and from left to right."""


class PatchMap(nn.Module):
    """A backbone that gives its patches' features: normalised images [n, C, S, S] -> [n, h, w, D].

    They are what ``forward_features`` gives: a map [n, D, h, w], or [n, h, w, D] where the backbone's ``output_fmt`` is
    ``NHWC`` (as timm's Swin says); or tokens [n, T, D], the first ``num_prefix_tokens`` of which belong to no patch (a
    class token, registers) and the others to a square grid, row by row. With ``intermediates`` they are the last map of
    timm's ``forward_intermediates``, after the last norm, which knows the tokens of each of its models.
    """

    def __init__(self, backbone: nn.Module, intermediates: bool) -> None:
        super().__init__()
        self.backbone, self.intermediates = backbone, intermediates

    def forward(self, images: Tensor) -> Tensor:
        if self.intermediates:
            return _last_intermediate(self.backbone, images).permute(0, 2, 3, 1)
        found = self.backbone.forward_features(images)  # type: ignore[operator]
        if not _is_map(found):
            return _grid_of_tokens(found, int(getattr(self.backbone, "num_prefix_tokens", 0)))
        channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        out: Tensor = found if channels_last else found.permute(0, 2, 3, 1)
        return out


def _is_map(found: object) -> bool:
    return isinstance(found, Tensor) and found.ndim == 4


def _last_intermediate(backbone: nn.Module, images: Tensor) -> Tensor:
    """The last map [n, D, h, w] by timm's own function, which knows each model's tokens."""
    forward, asked = backbone.forward_intermediates, {"indices": 1, "output_fmt": "NCHW", "intermediates_only": True}
    try:
        maps = forward(images, norm=True, **asked)  # type: ignore[operator]
    except AssertionError:  # some, as Hiera, have no norm before the pooling
        maps = forward(images, **asked)  # type: ignore[operator]
    found: Tensor = maps[-1]
    return found


def _grid_of_tokens(tokens: object, prefix: int) -> Tensor:
    """Tokens [n, T, D] without the first ``prefix`` of them, as a square map [n, h, h, D]."""
    if not isinstance(tokens, Tensor) or tokens.ndim != 3:
        what = f"a tensor {list(tokens.shape)}" if isinstance(tokens, Tensor) else type(tokens).__name__
        raise UsageError(f"forward_features gives {what}, neither a map [N, C, h, w] nor tokens [N, T, C]")
    count = tokens.shape[1] - prefix
    side = math.isqrt(max(0, count))
    if side == 0 or side * side != count:
        raise UsageError(
            f"forward_features gives {tokens.shape[1]} tokens, {prefix} of them no patch's (num_prefix_tokens): "
            f"the other {count} are no square of patches"
        )
    return tokens[:, prefix:].reshape(len(tokens), side, side, -1)


@dataclass(frozen=True)
class Patchwise:
    """What gives features of patches: ``encode``, from images [n, C, size, size] to float32 [n, h, w, D].

    ``grid``: h and w; ``features``: D; ``encoder``: the backbone's, None for raw pixels.
    """

    encode: Encode
    size: int
    grid: Grid
    features: int
    encoder: Encoder | None = None

    @property
    def interpolation(self) -> str:
        """The filter that resizes its images."""
        return "bicubic" if self.encoder is None else self.encoder.spec.interpolation

    def at_once(self, most: int) -> int:
        """How many images, up to ``most``, have `NUMBERS` numbers."""
        return max(1, min(most, NUMBERS // (self.grid[0] * self.grid[1] * self.features)))


def patchwise(encoder: Encoder) -> Patchwise:
    """The features of patches by the backbone of an encoder, prepared as it prepares its images.

    Raises:
        UsageError: if the backbone has no map of patches.
    """
    backbone, spec = encoder.backbone, encoder.spec
    kind = type(backbone).__name__
    if not hasattr(backbone, "forward_features"):
        raise UsageError(
            f"{kind} has no features of patches: it needs a method forward_features, which gives a map [N, C, h, w] or "
            "tokens [N, T, C], as timm's models have"
        )
    images = torch.zeros(1, spec.channels, spec.size, spec.size, device=encoder.device, dtype=encoder.dtype)
    with torch.no_grad(), evaluating(backbone):
        try:
            map_given = _is_map(backbone.forward_features(images))  # type: ignore[operator]
            network = PatchMap(backbone, not map_given and hasattr(backbone, "forward_intermediates"))
            _, *grid, features = network(images).shape
        except Exception as error:  # a module of somebody else's raises what it likes
            raise UsageError(f"{kind} has no features of patches: {' '.join(str(error).split())}") from None
    dense = Encoder(network, replace(spec, features=features), precision=encoder.precision)
    return Patchwise(dense, spec.size, (grid[0], grid[1]), features, dense)


def raw_patches(like: Patchwise) -> Patchwise:
    """The pixels of the same patches, as `unit` makes them, at most `RAW_SIDE` x `RAW_SIDE` of each, as features."""
    h, w = like.grid
    high, wide = (max(1, min(RAW_SIDE, like.size // patches)) for patches in like.grid)

    def encode(images: Tensor) -> Tensor:
        scaled = unit(images)
        if scaled.shape[-2:] != (h * high, w * wide):
            scaled = F.interpolate(scaled, (h * high, w * wide), mode="bilinear", antialias=True)
        cut = scaled.reshape(len(images), -1, h, high, w, wide)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)

    channels = 3 if like.encoder is None else like.encoder.spec.channels
    return Patchwise(encode, like.size, like.grid, channels * high * wide)


def centres(box: tuple[int, int, int], grid: Grid) -> np.ndarray:
    """The patches' centres x, y, float32 [h * w, 2], row by row, in pixels of the upright image that was cropped.

    ``box``: the crop's top, left and side. The image's left and upper edges are at 0, so the first pixel's centre is at
    0.5; a crop that was resized for the network is undone.
    """
    top, left, side = box
    h, w = grid
    y, x = (np.arange(h) + 0.5) * (side / h) + top, (np.arange(w) + 0.5) * (side / w) + left
    return np.stack([np.tile(x, h), np.repeat(y, w)], 1).astype(np.float32)
