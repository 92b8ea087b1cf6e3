"""Parquet files with encoded images, in the layout of Hugging Face."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from typing import Any, BinaryIO

import numpy as np

from twofold.data.cache import cache
from twofold.data.compact import Numbers
from twofold.data.encoded import LABELS, EncodedSource
from twofold.data.folders import PARTS, parts_of_rows
from twofold.data.remote import Place, size, stamp, stream
from twofold.data.sources import WHOLE, digest, number
from twofold.errors import UsageError
from twofold.storage.files import write_atomically
from twofold.storage.names import escaped

IN_MEMORY = 4 << 30
"""Bytes of Parquet that are read into memory; more is mapped from the cache."""


class Parquet(EncodedSource):
    """Parquet in the Hugging Face layout: a column of {bytes, path} (or of bytes), and maybe a column of labels.

    Where a column of texts names parts as those of tables do, these are the images to train on, and ``test`` has those
    to test on. The column is not looked at without ``parts``, as where the files themselves are the parts. The labels
    of a part count if each of its images has one; a negative number is none.
    """

    def __init__(self, files: Sequence[Place], parts: bool = True) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with stream(files[0]) as file:
                schema = pq.read_schema(file)
            if not (encoded := _image_columns(schema)):
                raise UsageError(f"{files[0]} has no column of images (bytes, or a struct with bytes)")
            image = encoded[0]
            label = next((name for name in LABELS if name in schema.names), None)
            part = _column_of_parts(schema) if parts else None
            table = _table(files, [image] + ([label] if label else []))
            named = _texts(files, part) if part else None
        except (pa.ArrowException, KeyError, OSError, ValueError) as error:  # the last of names that are no text
            raise UsageError(f"{files[0]} cannot be read as Parquet: {' '.join(str(error).split())}") from None
        self._files = list(files)
        column = table[image]
        if pa.types.is_struct(column.type):
            column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
        self._images = column
        names = _class_names(schema, label) if label else None
        values = table[label].to_pylist() if label else None
        self.test: Parquet | None = None
        rows: Sequence[int] = range(len(column))
        if named is not None:
            labelled = np.array([_is_label(value) for value in values]) if values else np.zeros(len(column), bool)
            learned, tested, self.notes = parts_of_rows(*named, labelled, str(part))
            rows = Numbers(learned)
            self.test = copy(self)._with(Numbers(tested), values, names) if len(tested) else None
        self._with(rows, values, names)
        if label is None and (others := [name for name in schema.names if name not in (image, part)]):
            told = ", ".join(escaped(name[:80]) for name in others)[:300]
            self.notes += (f"no column of {files[0].name} is called label, so no image has one (columns: {told})",)
        if len(encoded) > 1:
            several = ", ".join(escaped(name[:80]) for name in encoded[1:])[:300]
            self.notes += (f"images are taken from column {escaped(image[:80])}, and not from {several}",)

    def _with(self, rows: Sequence[int], values: list[Any] | None, names: list[str] | None) -> "Parquet":
        """These rows alone, with their labels, if each has one."""
        self._rows = rows
        if values is not None:
            own = values if len(rows) == len(values) else [values[row] for row in rows]
            labels, self.classes = column_of_labels(own, names)
            self.labels = None if labels is None else Numbers(labels)
            if without := sum(not _is_label(value) for value in own):
                self.notes += (f"no image has a label: all must have one, but {without} of {len(own)} have none",)
        return self

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, index: int) -> str:
        return f"row {self._rows[index]}"

    def read(self, index: int) -> bytes:
        value: bytes | None = self._images[self._rows[index]].as_py()
        return value or b""

    def compute_fingerprint(self) -> str:
        """Of the files' names, sizes and contents if these have `WHOLE` bytes at most, else of their times, too.

        Of larger ones 64 images are compared; a replaced file of the same size and time may pass if it has these.
        """
        sizes = [size(file) for file in self._files]
        about: list[object] = [(file.name, length) for file, length in zip(self._files, sizes, strict=True)]
        if len(self) < len(self._images):
            about.append(hashlib.blake2b(np.asarray(self._rows, np.int64).tobytes(), digest_size=8).hexdigest())
        if sum(sizes) > WHOLE:
            return digest([*about, *map(stamp, self._files), *self._contents.digests(self._bytes)])
        for place in self._files:
            with stream(place) as file:
                about.append(hashlib.file_digest(file, "blake2b").hexdigest())
        return digest(about)


def column_of_labels(values: list[Any], names: list[str] | None) -> tuple[list[int] | None, list[str] | None]:
    """Class numbers and class names of a column's values; ``names`` where the column itself has them by number."""
    if not all(map(_is_label, values)):
        return None, None  # some images have no label: then none counts
    if names and all(isinstance(value, int) and value < len(names) for value in values):
        return values, names
    return number([str(value) for value in values])


def _is_label(value: Any) -> bool:
    return value is not None and not (isinstance(value, int) and value < 0)


def _table(files: Sequence[Place], columns: list[str]):  # type: ignore[no-untyped-def]
    """The columns of all files as an Arrow table that worker processes share without copying it.

    Up to `IN_MEMORY` bytes it lies in memory; more is copied once, row by row addressable, into the cache, and mapped.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    with ExitStack() as held:  # Arrow takes no names that are not UTF-8, but open files
        parts = [pq.ParquetFile(held.enter_context(stream(file))) for file in files]
        if sum(_bytes(part) for part in parts) <= IN_MEMORY:
            for part in parts:
                found += [part.schema_arrow.empty_table().select(columns)]
                found += [part.read_row_group(group, columns=columns) for group in range(part.num_row_groups)]
            return pa.concat_tables(found)
        copied = cache() / "parquet" / f"{digest([(str(f), size(f), stamp(f)) for f in files])}.arrow"
        if not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            schema = pa.schema([field for field in parts[0].schema_arrow if field.name in columns])

            def write(file: BinaryIO) -> None:
                with pa.ipc.new_file(file, schema) as writer:
                    for part in parts:
                        for batch in part.iter_batches(256, columns=columns):
                            writer.write_batch(batch.select(schema.names).cast(schema))

            write_atomically(copied, write)
    return pa.ipc.open_file(pa.memory_map(str(copied))).read_all()


def _bytes(file: Any) -> int:
    """Of all columns of a Parquet file, uncompressed."""
    return sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))


def _image_columns(schema) -> list[str]:  # type: ignore[no-untyped-def]
    """The columns of encoded files, that of the images first."""
    import pyarrow as pa

    def holds_files(field) -> bool:  # type: ignore[no-untyped-def]
        if pa.types.is_struct(field.type):
            return any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
        return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))

    fields = sorted(schema, key=lambda field: field.name not in ("image", "img"))
    return [str(field.name) for field in fields if holds_files(field)]


def _column_of_parts(schema) -> str | None:  # type: ignore[no-untyped-def]
    """The likeliest name among the columns of texts that can name parts."""
    import pyarrow as pa

    def holds_texts(kind) -> bool:  # type: ignore[no-untyped-def]
        of = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))

    found = [name for name in schema.names if name.lower() in PARTS and holds_texts(schema.field(name).type)]
    return min(found, key=lambda name: PARTS.index(name.lower()), default=None)


def _texts(files: Sequence[Place], column: str) -> tuple[list[str], np.ndarray]:
    """The texts that occur in a column, and the number of each row's one; a file may lack it, or have other kinds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = []
    for place in files:
        with stream(place) as file:
            part = pq.ParquetFile(file)
            has = column in part.schema_arrow.names
            found = part.read([column])[column] if has else pa.chunked_array([pa.nulls(part.metadata.num_rows)])
            texts += found.cast(pa.string()).fill_null("").chunks
    coded = pa.chunked_array(texts, pa.string()).dictionary_encode().unify_dictionaries()
    if not coded.num_chunks:
        return [], np.zeros(0, np.int64)
    return coded.chunk(0).dictionary.to_pylist(), np.concatenate([c.indices.to_numpy() for c in coded.chunks])


def _class_names(schema, label: str) -> list[str] | None:  # type: ignore[no-untyped-def]
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
