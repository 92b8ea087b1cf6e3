"""`twofold scan`: decode everything once and say what cannot be read."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from twofold.data.decode import Unreadable
from twofold.data.sources import Source


@dataclass
class Scan:
    """What a scan found. ``sizes`` counts (height, width)."""

    images: int
    bad: list[tuple[str, str]] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: dict[str, int] = field(default_factory=dict)


def scan(source: Source, threads: int = 4) -> Scan:
    """Decode every image of a source."""
    result = Scan(len(source))

    def read(number: int) -> tuple[int, int] | str:
        try:
            _, height, width = source.image(number).shape
            return height, width
        except Unreadable as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        for number, found in enumerate(pool.map(read, range(len(source)))):
            if isinstance(found, str):
                result.bad.append((source.name(number), found))
            else:
                result.sizes[found] += 1
    if source.labels is not None and source.classes is not None:
        counts = np.bincount(np.asarray(source.labels), minlength=len(source.classes))
        result.classes = dict(zip(source.classes, counts.tolist(), strict=True))
    return result
