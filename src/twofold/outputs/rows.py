"""The rows that `embed` writes: an image or a patch each, with its name, its label, its place and its vector."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twofold.data.crop import stacked
from twofold.data.sources import Source, digest
from twofold.encoding import crops
from twofold.encoding.crops import Crop, read_ahead
from twofold.encoding.dense import Grid, Patchwise, centres
from twofold.encoding.encoder import Encoder

PLACE = np.dtype([("row", np.int32), ("column", np.int32), ("x", np.float32), ("y", np.float32)])
"""Where a patch is: its row and column in the grid, and its centre in pixels of the upright image."""


@dataclass(frozen=True)
class Embedded:
    """What `twofold.embed` gives: a vector for each image, or for each patch.

    Attributes:
        vectors: float32 [N, D].
        names: the name of each vector's image, a text of one line as `storage.names.escaped` makes it; `unescaped`
            gives what the file is called.
        labels: the label of each vector's image; None where there is none.
        unreadable: the name of each image that was left out, and why.
        places: [N], where the rows are patches, else None: fields ``row`` and ``column`` of the grid, and ``x`` and
            ``y`` of the patch's centre in pixels of the upright image, from its left and upper edge, so that 0.5 is the
            first pixel's centre.
    """

    vectors: np.ndarray
    names: list[str]
    labels: list[str | None]
    unreadable: list[tuple[str, str]]
    places: np.ndarray | None = None

    @classmethod
    def joined(cls, pieces: Sequence["Embedded"]) -> "Embedded":
        """Several of them, one after the other."""
        places = [piece.places for piece in pieces if piece.places is not None]
        return cls(
            np.concatenate([piece.vectors for piece in pieces]),
            [name for piece in pieces for name in piece.names],
            [label for piece in pieces for label in piece.labels],
            [image for piece in pieces for image in piece.unreadable],
            np.concatenate(places) if places else None,
        )


@dataclass(frozen=True)
class Split:
    """The training or the test images. Its ``name`` is empty where the data have no test split.

    It precedes the images' own names, unless both splits are ``listed`` as one, so that no two images have one name.
    """

    name: str
    source: Source
    listed: bool = False

    @property
    def images(self) -> str:
        return f"{self.name} images".strip()

    def image(self, number: int) -> str:
        name = self.source.name(number)
        return f"{self.name}/{name}" if self.name and not self.listed else name

    def label(self, number: int) -> str | None:
        return self.source.class_name(number)

    def identity(self) -> list[str]:
        """What is different if its images are, or their labels."""
        named = digest(self.source.class_name(number) for number in range(len(self.source)))
        return [self.name, str(len(self.source)), self.source.fingerprint(), named]


@dataclass(frozen=True)
class Maker:
    """What makes rows of images: one of each or, with ``dense``, one of each of its patches."""

    encoder: Encoder
    dense: Patchwise | None

    @property
    def grid(self) -> Grid:
        """How many rows an image has, as a grid."""
        return self.dense.grid if self.dense else (1, 1)

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self.dense.features if self.dense else self.encoder.spec.features

    def batch(self) -> int:
        """How many images are computed at once."""
        return self.dense.at_once(crops.BATCH) if self.dense else crops.BATCH

    def piece(self, most: int) -> int:
        """How many images a piece has: whole batches, up to ``most`` images."""
        at_once = self.batch()
        return at_once * max(1, (self.dense.at_once(most) if self.dense else most) // at_once)

    def rows(self, split: Split, ranges: Iterable[range]) -> Iterator[Embedded]:
        """The rows of each range of a split's images."""
        each = self.grid[0] * self.grid[1]
        spec = self.encoder.spec
        for images in read_ahead(split.source, spec.size, ranges, spec.interpolation):
            readable = [(number, crop) for number, crop in images if isinstance(crop, Crop)]
            names = [split.image(number) for number, _ in readable for _ in range(each)]
            labels = [split.label(number) for number, _ in readable for _ in range(each)]
            unreadable = [(split.image(number), reason) for number, reason in images if isinstance(reason, str)]
            vectors = self._vectors([crop for _, crop in readable])
            places = None if self.dense is None else _places([crop for _, crop in readable], self.grid)
            yield Embedded(vectors, names, labels, unreadable, places)

    def _vectors(self, found: list[Crop]) -> np.ndarray:
        if not found:
            return np.empty((0, self.width), np.float32)
        encode = self.dense.encode if self.dense else self.encoder
        vectors: np.ndarray = encode(stacked([crop.pixels for crop in found])).cpu().numpy()
        return vectors.reshape(-1, self.width)


def _places(found: list[Crop], grid: Grid) -> np.ndarray:
    """The places [n * h * w] of the patches of n crops."""
    places = np.empty((len(found), grid[0] * grid[1]), PLACE)
    places["row"], places["column"] = (axis.ravel() for axis in np.indices(grid))
    for row, crop in zip(places, found, strict=True):
        row["x"], row["y"] = centres(crop.box, grid).T
    return places.ravel()
