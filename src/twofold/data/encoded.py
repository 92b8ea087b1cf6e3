"""Sources of encoded image files: folders, tar shards, Parquet."""

import itertools
import json
import os
import tarfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from twofold.data import masks
from twofold.data.cache import cache
from twofold.data.decode import Unreadable, decode
from twofold.data.sources import Contents, Source, digest, number
from twofold.data.unread import passed_over
from twofold.errors import UsageError
from twofold.files import write_atomically

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2", ".avif", ".tga"}
)

LABELS = ("label", "labels", "fine_label", "class")
"""Names that a column of labels has."""

ARRAY = ".npy"
"""The ending of arrays, which are images where there are no other image files."""

IN_MEMORY = 4 << 30
"""Bytes of Parquet that are read into memory; more is mapped from the cache."""


class EncodedSource(Source):
    """Images as encoded files, wherever their bytes are."""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded file."""

    def image(self, index: int) -> np.ndarray:
        return decode(self._bytes(index))

    def digest_of(self, names: Iterable[str], sizes: Iterable[int]) -> str:
        """Of all names and sizes, and of the contents of 64 files: reading them all would take too long."""
        return digest(itertools.chain(names, sizes, self._contents.digests(self._bytes)))

    @cached_property
    def _contents(self) -> Contents:
        return Contents(len(self))

    def _bytes(self, index: int) -> bytes:
        try:
            file = self.read(index)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        if not file:
            raise Unreadable("empty file")
        self._contents.note(index, file)
        return file


class Files(EncodedSource):
    """Image files by their paths, as they are or under a root."""

    def __init__(self, paths: Sequence[str], root: Path = Path()) -> None:
        self.paths, self.root = paths, root

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        return (self.root / self.paths[index]).read_bytes()

    def name(self, index: int) -> str:
        return printable(self.paths[index])

    def compute_fingerprint(self) -> str:
        return self.digest_of(self.paths, (_length(self.root / path) for path in self.paths))


def _length(file: Path) -> int:
    """In bytes; -1 for a file that is not there."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


class Folder(Files):
    """Image files under a folder, recursively; the folders right under it are the classes, if it has any.

    Masks, by the rules of `twofold.data.masks`, are no images. Where there are some, a folder that is named ``images``
    or ``JPEGImages`` is no class.
    """

    def __init__(self, root: Path) -> None:
        there = list(files_under(root))
        self.passed_over = passed_over(there)
        files = [path for path in there if is_image(path, SUFFIXES | {ARRAY})]
        arrays = sorted(str(path.relative_to(root)) for path in files if not is_image(path))
        found = sorted(str(path.relative_to(root)) for path in files if is_image(path))
        inside, theirs = masks.paired(found + arrays)
        if arrays and not set(found) <= theirs:  # there are pictures, not only masks of arrays
            arrays = []
            inside, theirs = masks.paired(found)
        super().__init__([path for path in found + arrays if path not in theirs], root)
        self._masks = {image: root / mask for image, mask in inside.items()}
        outside = {
            str(path.relative_to(folder).with_suffix("")): path
            for folder in reversed(masks.folders_outside(root))
            for path in files_under(folder)
            if path.suffix.lower() == ".png"
        }
        if outside:
            beyond = {path: outside.get(str(Path(path).with_suffix(""))) for path in self.paths}
            self._masks = {path: mask for path, mask in beyond.items() if mask} | self._masks
        folders = [Path(path).parts[:-1] for path in self.paths]
        if self._masks:
            folders = [tuple(part for part in parts if part not in masks.IMAGES) for parts in folders]
        if self.paths and all(folders):
            self.labels, self.classes = number([parts[0] for parts in folders])

    @cached_property
    def masked(self) -> list[int]:
        return [index for index, path in enumerate(self.paths) if path in self._masks]

    def mask(self, index: int) -> np.ndarray | None:
        path = self._masks.get(self.paths[index])
        return None if path is None else masks.read_mask(path, printable(str(path)))


def printable(name: str) -> str:
    """A file's name, which need not be UTF-8, as a text that can be printed and written."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_image(path: PurePosixPath | Path, endings: frozenset[str] = SUFFIXES) -> bool:
    """By its ending."""
    return path.suffix.lower() in endings and not path.name.startswith(".")


def files_under(root: Path) -> Iterator[Path]:
    """All files, also behind links, but none in a hidden folder; no folder twice, so links may form circles."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(folder, name) for name in files)
        seen.add(real)


class Tar(EncodedSource):
    """Uncompressed tar shards, read in place. Labels: ``KEY.cls`` beside ``KEY.png``, or ``class/name.png``."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.members: list[tuple[Path, str, int, int]] = []  # shard, name, offset, length
        texts: dict[tuple[Path, str], str] = {}
        for shard in shards:
            try:
                with tarfile.open(shard, "r:") as tar:
                    for member in tar:
                        path = PurePosixPath(member.name)
                        if not member.isfile():
                            continue
                        if is_image(path, SUFFIXES | {ARRAY}):
                            self.members.append((shard, member.name, member.offset_data, member.size))
                        elif path.suffix == ".cls":
                            content = tar.extractfile(member)
                            assert content is not None
                            texts[shard, member.name[:-4]] = content.read().decode("utf-8", "replace").strip()
            except (tarfile.TarError, OSError) as error:
                raise UsageError(f"{shard} is no uncompressed tar file: {error}") from None
        pictures = [member for member in self.members if is_image(PurePosixPath(member[1]))]
        self.members = pictures or self.members
        keys = [(shard, name[: len(name) - len(PurePosixPath(name).suffix)]) for shard, name, _, _ in self.members]
        if self.members and all(key in texts for key in keys):
            self.labels, self.classes = number([texts[key] for key in keys])
        elif self.members and all(len(PurePosixPath(key).parts) > 1 for _, key in keys):
            self.labels, self.classes = number([PurePosixPath(key).parent.name for _, key in keys])

    def __len__(self) -> int:
        return len(self.members)

    def read(self, index: int) -> bytes:
        shard, _, offset, length = self.members[index]
        with open(shard, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def name(self, index: int) -> str:
        return printable(self.members[index][1])

    def compute_fingerprint(self) -> str:
        return self.digest_of((name for _, name, _, _ in self.members), (size for *_, size in self.members))


class Parquet(EncodedSource):
    """Parquet in the Hugging Face layout: a column of {bytes, path} (or of bytes), and maybe a column of labels."""

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(files[0])
            image = _image_column(schema)
            label = next((name for name in LABELS if name in schema.names), None)
            columns = [image] + ([label] if label else [])
            self._table = _table(files, columns)
        except StopIteration:
            raise UsageError(f"{files[0]} has no column of images (bytes, or a struct with bytes)") from None
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{files[0]} cannot be read as Parquet: {' '.join(str(error).split())}") from None
        self._files = [(file.name, file.stat().st_size) for file in files]
        column = self._table[image]
        if pa.types.is_struct(column.type):
            column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
        self._images = column
        if label:
            self.labels, self.classes = column_of_labels(self._table[label].to_pylist(), _class_names(schema, label))

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> bytes:
        value: bytes | None = self._images[index].as_py()
        return value or b""

    def compute_fingerprint(self) -> str:
        return digest(self._files)


def column_of_labels(values: list[Any], names: list[str] | None) -> tuple[list[int] | None, list[str] | None]:
    """Class numbers and class names of a column's values; ``names`` where the column itself has them by number."""
    if None in values or any(isinstance(value, int) and value < 0 for value in values):
        return None, None  # some images have no label: then none counts
    if names and all(isinstance(value, int) and value < len(names) for value in values):
        return values, names
    return number([str(value) for value in values])


def _table(files: Sequence[Path], columns: list[str]):  # type: ignore[no-untyped-def]
    """The columns of all files as an Arrow table that worker processes share without copying it.

    Up to `IN_MEMORY` bytes it lies in memory; more is copied once, row by row addressable, into the cache, and mapped.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sum(file.stat().st_size for file in files) <= IN_MEMORY:
        return pa.concat_tables(pq.read_table(file, columns=columns) for file in files)
    copied = cache() / "parquet" / f"{digest([(str(f), f.stat().st_size, f.stat().st_mtime) for f in files])}.arrow"
    if not copied.exists():
        copied.parent.mkdir(parents=True, exist_ok=True)
        schema = pa.schema([field for field in pq.read_schema(files[0]) if field.name in columns])

        def write(file: BinaryIO) -> None:
            with pa.ipc.new_file(file, schema) as writer:
                for part in files:
                    for batch in pq.ParquetFile(part).iter_batches(256, columns=columns):
                        writer.write_batch(batch.select(schema.names).cast(schema))

        write_atomically(copied, write)
    return pa.ipc.open_file(pa.memory_map(str(copied))).read_all()


def _image_column(schema) -> str:  # type: ignore[no-untyped-def]
    import pyarrow as pa

    def holds_files(field) -> bool:  # type: ignore[no-untyped-def]
        if pa.types.is_struct(field.type):
            return any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
        return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))

    fields = sorted(schema, key=lambda field: field.name not in ("image", "img"))
    return next(str(field.name) for field in fields if holds_files(field))


def _class_names(schema, label: str) -> list[str] | None:  # type: ignore[no-untyped-def]
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
