"""Images of a data set in the memory or cache of Hugging Face's library `datasets`."""

from typing import Any

from twofold.data import bounds
from twofold.data.encoded import LABELS, EncodedSource
from twofold.data.items import IMAGES
from twofold.data.parquet import column_of_labels
from twofold.data.sources import digest
from twofold.errors import UsageError


def is_one(data: object) -> bool:
    """Whether an object is a `datasets.Dataset`, told without importing that library."""
    return any((kind.__module__, kind.__name__) == ("datasets.arrow_dataset", "Dataset") for kind in type(data).__mro__)


class HuggingFace(EncodedSource):
    """A `datasets.Dataset`: its column of images as they are encoded, and its column of labels.

    The data set's own format and transform are set aside.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        """
        Raises:
            UsageError: if no column holds images.
        """
        import datasets  # which is there, as this is one of its objects

        kinds = dataset.features
        images = [column for column, kind in kinds.items() if isinstance(kind, datasets.Image)]
        if not images:
            raise UsageError(f"{name} has no column of images (it has {', '.join(kinds)})")
        plain = dataset.with_format(None)
        self._column = next((column for column in IMAGES if column in images), images[0])
        self._files = plain.select_columns([self._column]).cast_column(self._column, datasets.Image(decode=False))
        labels = [column for column in LABELS if column in kinds]
        labels += [column for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
        if labels:
            names = getattr(kinds[labels[0]], "names", None)
            self.labels, self.classes = column_of_labels(list(plain[labels[0]]), names)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> bytes:
        file = self._files[index][self._column] or {}
        if file.get("bytes") is None and file.get("path"):
            return bounds.read_file(file["path"])
        content: bytes = file.get("bytes") or b""
        return content

    def compute_fingerprint(self) -> str:
        return digest([len(self), self.labels, self.digest_of((), ())])
