"""Frozen features: each image once through the backbone, whole or centrally cropped, without distortion."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twofold import device as devices
from twofold import files
from twofold.data.decode import Unreadable
from twofold.data.loader import crop_one
from twofold.data.sources import Source, digest
from twofold.errors import UsageError
from twofold.nets.backbone import SMALL, BackboneSpec

BATCH = 256
UNSAFE = r"[^-\w. ]"  # in a file name
PHOTO_SHARE = 0.875  # of the shorter side, the usual test crop of photographs; small images are taken whole


@dataclass(frozen=True)
class Features:
    """Features [N, D] of the readable images, their numbers in the source, their labels (-1: none)."""

    values: Tensor
    index: list[int]
    labels: Tensor

    @classmethod
    def of(cls, source: Source, index: list[int], values: Tensor) -> "Features":
        labels = [-1] * len(index) if source.labels is None else [source.labels[i] for i in index]
        return cls(values, index, torch.tensor(labels))


def central_crop(image: np.ndarray, size: int) -> Tensor:
    """The largest central square (of photographs: 7/8 of it), resized: uint8 [C, size, size]."""
    height, width = image.shape[1:]
    side = min(height, width)
    if max(height, width) > SMALL:
        side = max(1, round(side * PHOTO_SHARE))
    return crop_one(image, ((height - side) // 2, (width - side) // 2, side, side), False, size, "bicubic")


def read_ahead(source: Source, size: int, ranges: Iterable[range]) -> Iterator[list[tuple[int, Tensor | str]]]:
    """Each range's images, in order: number and central crop, or number and why it cannot be read.

    Decoding runs in threads, one range ahead; memory does not grow with the number of ranges.
    """

    def read(number: int) -> Tensor | str:
        try:
            return central_crop(source.image(number), size)
        except Unreadable as error:
            return str(error)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        begun = ([(number, pool.submit(read, number)) for number in numbers] for numbers in ranges)
        ahead = next(begun, None)
        while ahead is not None:
            current, ahead = ahead, next(begun, None)
            yield [(number, future.result()) for number, future in current]


def cut(numbers: range, size: int) -> Iterator[range]:
    """Into ranges of ``size``; the last may be shorter."""
    return (numbers[i : i + size] for i in range(0, len(numbers), size))


def batches(numbers: range) -> Iterator[range]:
    return cut(numbers, BATCH)


def central_crops(source: Source, size: int) -> Iterator[tuple[list[int], Tensor]]:
    """The readable images' numbers and central crops, uint8 [n, C, size, size], a batch at a time, in order."""
    for images in read_ahead(source, size, batches(range(len(source)))):
        readable = [(number, crop) for number, crop in images if isinstance(crop, Tensor)]
        if readable:
            yield [number for number, _ in readable], torch.stack([crop for _, crop in readable])


class Encoder:
    """A backbone in eval mode, float32, with its input's normalisation: uint8 [n, C, S, S] -> features [n, D]."""

    def __init__(self, backbone: nn.Module, spec: BackboneSpec, device: torch.device) -> None:
        self.backbone = devices.place(backbone, device).eval()
        self.mean, self.std = (torch.tensor(v, device=device).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
        self.device, self.layout = device, devices.layout(backbone, device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        scaled = (images.to(self.device).float() / 255 - self.mean) / self.std
        features: Tensor = self.backbone(scaled.contiguous(memory_format=self.layout))
        return features.float().cpu()


def raw_pixels(images: Tensor) -> Tensor:
    """The pixels themselves, 0 to 1, as features: uint8 [n, C, S, S] -> [n, C * s * s], s at most 32."""
    scaled = images.float() / 255
    if images.shape[-1] > 32:
        scaled = nn.functional.interpolate(scaled, (32, 32), mode="bilinear", antialias=True)
    return scaled.flatten(1)


def extract(
    source: Source,
    size: int,
    encoders: dict[str, Callable[[Tensor], Tensor]],
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Features]:
    """Features of every readable image by several encoders, decoding each image once.

    Args:
        encoders: name -> uint8 images [n, C, S, S] to features [n, D].
        tell: called after each batch with the number of images done, and how many there are.
    """
    kept: list[int] = []
    values: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for numbers, images in central_crops(source, size):
        kept += numbers
        for name, encoder in encoders.items():
            values[name].append(encoder(images))
        if tell:
            tell(numbers[-1] + 1, len(source))
    if not kept:
        raise UsageError(f"not one of {len(source)} images can be read; twofold scan says why")
    return {name: Features.of(source, kept, torch.cat(v)) for name, v in values.items()}


def fingerprint(module: nn.Module, about: object) -> str:
    """A digest of a network's weights and of what else decides what it gives, e.g. how its input is prepared."""
    hasher = hashlib.blake2b(repr(about).encode(), digest_size=8)
    for key, value in module.state_dict().items():
        hasher.update(key.encode())
        hasher.update(value.detach().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()


@dataclass(frozen=True)
class Extractor:
    """What makes features: from whole images of ``size`` pixels, uint8 [n, C, size, size], to [n, D].

    ``key`` is a digest of everything else they depend on: two extractors with one key give the same features.
    """

    key: str
    size: int
    encode: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cache:
    """Features of one part of the data, in files of ``directory`` that are named by all they depend on.

    ``part``: its name, as training and test parts may hold files of the same names and sizes.
    """

    directory: Path
    part: str
    source: Source

    def extracted(
        self, extractors: dict[str, Extractor], tell: Callable[[int, int], None] | None = None
    ) -> dict[str, Features]:
        """`extract`, but from files where they are, and kept there for the next time."""
        missing = {name: e for name, e in extractors.items() if not self._path(name, e.key, e.size).exists()}
        for size in dict.fromkeys(extractor.size for extractor in missing.values()):
            encoders = {name: e.encode for name, e in missing.items() if e.size == size}
            for name, features in extract(self.source, size, encoders, tell).items():
                self._keep(self._path(name, missing[name].key, size), features)
        return {name: self._read(self._path(name, e.key, e.size)) for name, e in extractors.items()}

    def derived(self, name: str, key: str, base: Features, convert: Callable[[Tensor], Tensor]) -> Features:
        """Features that are made of others [N, D] in batches; ``key``: a digest of those and of what converts them."""
        path = self._path(name, key, 0)
        if not path.exists():
            values = torch.cat([convert(part) for part in base.values.split(BATCH)])
            self._keep(path, Features(values, base.index, base.labels))
        return self._read(path)

    def _path(self, name: str, key: str, size: int) -> Path:
        about = [self.part, size, self.source.fingerprint(), key]
        return self.directory / f"{re.sub(UNSAFE, '_', name)}-{digest(about)}.npz"

    def _keep(self, path: Path, features: Features) -> None:
        self.directory.mkdir(exist_ok=True)
        save = partial(np.savez, values=features.values.numpy(), index=np.array(features.index))
        files.write_atomically(path, save)

    def _read(self, path: Path) -> Features:
        with np.load(path) as file:
            return Features.of(self.source, file["index"].tolist(), torch.from_numpy(file["values"]))
