"""What a tar file holds, and where that is written down, so that a large one need not be looked through again.

`twofold pack` writes a listing beside each shard, ``NAME.arrow`` beside ``NAME.tar``: the name, offset, length and
label of each image, and how large the shard is. It counts as long as the shard has that size. ``index.jsonl`` in the
same folder says what was packed, and has the names of the classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from twofold.storage.files import write_atomically

INDEX = "index.jsonl"
"""The file that says what `twofold pack` was asked for, in its first line, and what each shard is, in one line each."""
LISTING = ".arrow"
SIZE = b"bytes"
"""The key in a listing's metadata of the shard's size."""
LABEL_BYTES = 4096
"""A longer ``.cls`` is no label."""
HEADER_BYTES = 16 << 20
"""The first line of an index is read no further: that is enough for the names of a million classes."""


@dataclass
class Shard:
    """What one tar file holds: name, and offset and length, of each image, and texts of labels by their images' keys.

    ``links``: images that are links to what is not there before them, or have holes; ``long``: labels that are too
    long; ``cut``: whether the file is damaged or ends before its end, and what follows is lost.
    """

    names: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    links: int = 0
    long: int = 0
    cut: bool = False

    def label(self, name: str) -> str | None:
        """The text of an image's label."""
        return self.labels.get(key_of(name))


def key_of(name: str) -> str:
    """What an image and its label are both called: the name without its ending."""
    return name[: len(name) - len(PurePosixPath(name).suffix)]


def save(path: Path, shard: Shard, size: int) -> None:
    """Write the listing of a tar file of so many bytes."""
    import pyarrow as pa

    labels = [shard.label(name) for name in shard.names]
    columns = {
        "name": pa.array(shard.names, pa.string()),
        "offset": pa.array([offset for offset, _ in shard.places], pa.int64()),
        "length": pa.array([length for _, length in shard.places], pa.int64()),
        "label": pa.array(labels, pa.string()),
    }
    table = pa.table(columns).replace_schema_metadata({SIZE: str(size)})

    def write(file: BinaryIO) -> None:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    write_atomically(path, write)


def load(content: bytes, size: int) -> Shard | None:
    """What a listing says of a tar file of so many bytes; None if it is damaged or of another one."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        if int(table.schema.metadata[SIZE]) != size:
            return None
        names, offsets, lengths, labels = (table[name].to_pylist() for name in ("name", "offset", "length", "label"))
        keys = [key_of(name) for name in names]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    if not all(0 <= offset <= offset + length <= size for offset, length in zip(offsets, lengths)):
        return None
    texts = {key: label for key, label in zip(keys, labels) if label is not None}
    return Shard(names, list(zip(offsets, lengths)), texts)


def kept(path: Path) -> Shard | None:
    """What the listing beside a tar file says of it; None if there is none that counts."""
    try:
        return load(path.with_suffix(LISTING).read_bytes(), path.stat().st_size)
    except OSError:
        return None


def header(first_line: bytes) -> dict[str, Any] | None:
    """What an index says was packed; None if it is none."""
    try:
        found = json.loads(first_line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("twofold") == "pack" else None


def classes_beside(shards: Sequence[Path]) -> list[str] | None:
    """The names of the classes of packed shards, which lie in one folder, by the index that lies there."""
    folders = {path.parent for path in shards}
    if len(folders) != 1:
        return None
    try:
        with open(folders.pop() / INDEX, "rb") as file:
            about = header(file.readline(HEADER_BYTES))
    except OSError:
        return None
    classes = about and about.get("classes", {}).get(shards[0].name.rpartition("-")[0])
    return [str(name) for name in classes] if isinstance(classes, list) else None
