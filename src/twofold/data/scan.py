"""`twofold scan`: decode everything once and say what cannot be read, and what is not looked at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from twofold.data.decode import Unreadable, decode, has_more_frames
from twofold.data.kinds import Kind
from twofold.data.opening import DataLike, open_data
from twofold.data.parallel import in_order
from twofold.data.sources import Source
from twofold.data.tiff import declares_nodata, is_tiff
from twofold.errors import UsageError

LONG = 2
"""Of images that are so many times as long as wide, or more, networks see less than half, the central square."""


@dataclass
class Scan:
    """What a scan found in one part of the data.

    Attributes:
        images: how many images there are.
        bad: the name of each image that cannot be read, and why.
        sizes: how many images have each height and width.
        classes: how many images each class has, where classes have names.
        kinds: how many images have each combination of channels and number type.
        masked: how many images have a mask.
        bad_masks: the name of each image whose mask cannot be used, and why.
        mask_pixels: how many pixels of all masks have each value from 0 to 255, as the files have them.
        missing: what a table names that is not there.
        passed_over: how many pictures have a format that is not read, by the ending of their names.
        more_frames: the names of images whose files have further pages or frames, which are not read.
        nodata: how many TIFF files declare a value for missing data.
        notes: what else is left out, in sentences.
    """

    images: int
    bad: list[tuple[str, str]] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: dict[str, int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    masked: int = 0
    bad_masks: list[tuple[str, str]] = field(default_factory=list)
    mask_pixels: Counter[int] = field(default_factory=Counter)
    missing: Sequence[str] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)
    more_frames: list[str] = field(default_factory=list)
    nodata: int = 0
    notes: tuple[str, ...] = ()

    @property
    def long(self) -> int:
        """How many images are at least `LONG` times as long as wide."""
        return sum(count for size, count in self.sizes.items() if max(size) >= LONG * min(size))


@dataclass(frozen=True)
class _Image:
    """What one image is, and its mask: how many pixels have each value [256], or why it cannot be used."""

    size: tuple[int, int]
    kind: Kind
    more_frames: bool
    nodata: bool
    mask: np.ndarray | str | None


def scan(data: DataLike, threads: int = 4) -> dict[str, Scan]:
    """Decode every image and every mask once, and say which ones cannot be read, and why.

    Args:
        data: a folder, an array, a Dataset, ...: see `twofold.data.opening.open_data`.
        threads: how many images are decoded at a time, at least 1.

    Returns:
        What was found in the ``train`` part and, where the data have one, in the ``test`` part.

    Raises:
        UsageError: for unusable data, or fewer than one thread.
    """
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    opened = open_data(data)
    parts = {"train": opened.train} | ({"test": opened.test} if opened.test else {})
    return {part: scan_source(source, threads) for part, source in parts.items()}


def scan_source(source: Source, threads: int) -> Scan:
    """Decode every image of a source."""
    result = Scan(
        len(source),
        masked=len(source.masked),
        missing=source.missing,
        passed_over=source.passed_over,
        notes=source.notes,
    )

    def look(number: int) -> _Image | str:
        try:
            return _look(source, number)
        except Unreadable as error:
            return str(error)

    for number, found in enumerate(in_order(look, range(len(source)), threads)):
        name = source.name(number)
        if isinstance(found, str):
            result.bad.append((name, found))
            continue
        result.sizes[found.size] += 1
        result.kinds[str(found.kind)] += 1
        result.nodata += found.nodata
        if found.more_frames:
            result.more_frames.append(name)
        if isinstance(found.mask, str):
            result.bad_masks.append((name, found.mask))
        elif found.mask is not None:
            result.mask_pixels.update({value: int(found.mask[value]) for value in found.mask.nonzero()[0].tolist()})
    if source.labels is not None and source.classes is not None:
        counts = np.bincount(np.asarray(source.labels), minlength=len(source.classes))
        result.classes = dict(zip(source.classes, counts.tolist(), strict=True))
    return result


def _look(source: Source, number: int) -> _Image:
    """
    Raises:
        Unreadable: with the reason.
    """
    file = source.file(number)
    image = source.image(number) if file is None else decode(file)
    height, width = image.shape[1:]
    more_frames = file is not None and has_more_frames(file)
    nodata = file is not None and is_tiff(file) and declares_nodata(file)
    return _Image((height, width), Kind.of(image), more_frames, nodata, _mask(source, number, height, width))


def _mask(source: Source, number: int, height: int, width: int) -> np.ndarray | str | None:
    """How many pixels of an image's mask have each value [256], or why it cannot be used; None if there is none."""
    try:
        mask = source.mask(number)
    except UsageError as error:
        return str(error)
    if mask is None:
        return None
    if mask.shape != (height, width):
        return f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}"
    return np.bincount(mask.ravel(), minlength=256)
