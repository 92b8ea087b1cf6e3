"""`twofold scan`: decode everything once and say what cannot be read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from twofold.data.decode import Unreadable
from twofold.data.kinds import Kind
from twofold.data.opening import DataLike, open_data
from twofold.data.parallel import in_order
from twofold.data.sources import Source
from twofold.errors import UsageError


@dataclass
class Scan:
    """What a scan found in one part of the data.

    Attributes:
        images: how many images there are.
        bad: the name of each image that cannot be read, and why.
        sizes: how many images have each height and width.
        classes: how many images each class has, where classes have names.
        masked: how many images have a mask.
        kinds: how many images have each combination of channels and number type.
        passed_over: how many pictures have a format that is not read, by the ending of their names.
        notes: what else is left out, in sentences.
    """

    images: int
    bad: list[tuple[str, str]] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: dict[str, int] = field(default_factory=dict)
    masked: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    passed_over: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def scan(data: DataLike, threads: int = 4) -> dict[str, Scan]:
    """Decode every image once, and say which ones cannot be read, and why.

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
    result = Scan(len(source), masked=len(source.masked), passed_over=source.passed_over, notes=source.notes)

    def read(number: int) -> tuple[int, int, Kind] | str:
        try:
            image = source.image(number)
            return *image.shape[1:], Kind.of(image)
        except Unreadable as error:
            return str(error)

    for number, found in enumerate(in_order(read, range(len(source)), threads)):
        if isinstance(found, str):
            result.bad.append((source.name(number), found))
        else:
            height, width, kind = found
            result.sizes[height, width] += 1
            result.kinds[str(kind)] += 1
    if source.labels is not None and source.classes is not None:
        counts = np.bincount(np.asarray(source.labels), minlength=len(source.classes))
        result.classes = dict(zip(source.classes, counts.tolist(), strict=True))
    return result
