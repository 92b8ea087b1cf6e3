"""What a tar file holds, and where that is written down, so that a large one need not be looked through again.

`twofold pack` writes a listing beside each shard, ``NAME.arrow`` beside ``NAME.tar``: the name, offset, length and
label of each image, and how large the shard is. It counts as long as the shard has that size. ``index.jsonl`` in the
same folder says what was packed, and has the names of the classes. The listing of any other shard that is far away or
has many images is kept in the cache, and counts as long as the shard has its size and its time.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from twofold.data.cache import cache
from twofold.data.remote import Place, part, size, stamp, whole
from twofold.data.sources import digest
from twofold.errors import Failed
from twofold.storage.files import write_atomically

INDEX = "index.jsonl"
"""The file that says what `twofold pack` was asked for, in its first line, and what each shard is, in one line each."""
LISTING = ".arrow"
SIZE = b"bytes"
"""The key in a listing's metadata of the shard's size."""
LABEL_BYTES = 4096
"""A longer ``.cls`` is no label."""
MANY = 1000
"""The listing of a shard of this machine is kept if it has so many images."""
LISTING_BYTES = 1 << 30
"""A larger file is no listing: that is enough for some ten million images."""
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


def listed(place: Place, look: Callable[[Place], Shard]) -> Shard:
    """What a tar file holds, by the listing beside it or in the cache, else by a ``look`` through it."""
    try:
        length = size(place)
        beside = load(whole(place.with_suffix(LISTING), LISTING_BYTES), length)
    except OSError:
        beside = None
    if beside is not None:
        return beside
    try:
        named = place.absolute() if isinstance(place, Path) else place
        path = cache() / "listings" / f"{digest([str(named), size(place), stamp(place)])}{LISTING}"
        known = load(path.read_bytes(), size(place))
    except OSError:
        known = None
    if known is not None:
        return known
    shard = look(place)
    plain = not (shard.cut or shard.links or shard.long)
    if plain and (len(shard.names) >= MANY or not isinstance(place, Path)):
        with suppress(OSError, Failed, UnicodeError):  # of a cache that cannot be written to, of names that are no text
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, shard, size(place))
    return shard


def header(first_line: bytes) -> dict[str, Any] | None:
    """What an index says was packed; None if it is none."""
    try:
        found = json.loads(first_line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("twofold") == "pack" else None


def classes_beside(shards: Sequence[Place]) -> list[str] | None:
    """The names of the classes of packed shards, which lie in one folder, by the index that lies there."""
    folders = {path.parent for path in shards}
    if len(folders) != 1:
        return None
    try:
        about = header(part(folders.pop() / INDEX, 0, HEADER_BYTES).partition(b"\n")[0])
    except OSError:
        return None
    classes = about and about.get("classes", {}).get(shards[0].name.rpartition("-")[0])
    return [str(name) for name in classes] if isinstance(classes, list) else None
