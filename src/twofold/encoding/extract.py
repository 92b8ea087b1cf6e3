"""Features of all images of a source, each decoded once, by one or several encoders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold import dist
from twofold.data.loader import none_readable
from twofold.data.sources import Source
from twofold.encoding.crops import central_crops
from twofold.encoding.encoder import Encoder
from twofold.encoding.progress import Tell, silent
from twofold.nets.normalize import unit

Encode = Callable[[Tensor], Tensor]
"""From images [n, C, S, S] of any kind to features [n, D]: an `Encoder`, or any function."""


@dataclass(frozen=True)
class Features:
    """Features ``values`` [N, D] of the readable images, their numbers in the source, their labels [N] (-1: none)."""

    values: Tensor
    index: list[int]
    labels: Tensor

    @classmethod
    def of(cls, source: Source, index: list[int], values: Tensor) -> "Features":
        """With the labels that the source has for those images."""
        labels = [-1] * len(index) if source.labels is None else [source.labels[i] for i in index]
        return cls(values, index, torch.tensor(labels))


def extract(
    source: Source,
    size: int,
    encoders: Mapping[str, Encode],
    tell: Tell = silent,
    what: str = "images",
    interpolation: str = "bicubic",
    together: bool = False,
) -> dict[str, Features]:
    """Features, on the CPU, of every readable image by several encoders; each image is decoded once.

    Args:
        source: the images.
        size: the side in pixels of the central crops that the encoders get.
        encoders: by the name that their features have in the result.
        tell: told after each batch how many images are done.
        what: what it is told that is being done.
        interpolation: the filter that resizes the crops.
        together: the processes of a launch share the work, so each must call this; the first one gets the features,
            the others get none.

    Raises:
        UsageError: if not one image can be read.
    """
    share = slice(dist.rank(), None, dist.world()) if together else slice(None)
    found: list[tuple[list[int], dict[str, Tensor]]] = []
    for numbers, images in central_crops(source, size, interpolation, share):
        found.append((numbers, {name: encode(images).cpu() for name, encode in encoders.items()}))
        tell(what, numbers[-1] + 1, len(source))
    if together:
        found = sorted(chain.from_iterable(dist.to_first(found)), key=lambda batch: batch[0])
        if dist.rank() > 0:
            return {}
    if not found:
        raise none_readable(source, f"{len(source)} images")
    kept = [number for numbers, _ in found for number in numbers]
    return {name: Features.of(source, kept, torch.cat([values[name] for _, values in found])) for name in encoders}


def extract_each(
    source: Source,
    encoders: Mapping[str, tuple[int, Encode]],
    tell: Tell = silent,
    what: str = "images",
    together: bool = False,
) -> dict[str, Features]:
    """`extract` for encoders that take images of different sizes, each given with its own, or by different filters.

    There is one pass for all that take the same images.
    """
    found: dict[str, Features] = {}
    prepared = {
        name: (size, encode.spec.interpolation if isinstance(encode, Encoder) else "bicubic")
        for name, (size, encode) in encoders.items()
    }
    for size, interpolation in dict.fromkeys(prepared.values()):
        alike = {name: encoders[name][1] for name, own in prepared.items() if own == (size, interpolation)}
        found |= extract(source, size, alike, tell, what, interpolation, together)
    return found


def raw_pixels(images: Tensor) -> Tensor:
    """The pixels themselves, as `unit` makes them, as features: [n, C, S, S] -> [n, C * s * s], s at most 32."""
    scaled = unit(images)
    if images.shape[-1] > 32:
        scaled = F.interpolate(scaled, (32, 32), mode="bilinear", antialias=True)
    return scaled.flatten(1)
