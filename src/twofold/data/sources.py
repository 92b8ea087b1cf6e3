"""Where images come from. A source is random-access: its length, one image, one label, one name.

Sources hold file names, offsets or encoded bytes, never open handles, so worker processes can share them.
"""

import hashlib
import io
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from twofold.data.decode import Unreadable, as_images, decode, size_of
from twofold.errors import UsageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2", ".avif", ".tga"}
)


class Source(ABC):
    """Images by number. ``labels`` is one class number an image or None; ``classes`` their names."""

    labels: Sequence[int] | None = None
    classes: list[str] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """uint8 [C, H, W]. Raises `Unreadable` with the reason."""

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Height and width, without decoding. Raises `Unreadable`."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What a person would call this image: a path, or a number."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest that changes when images are added, removed, reordered or resized."""

    def label(self, index: int) -> int | None:
        return None if self.labels is None else int(self.labels[index])


class EncodedSource(Source):
    """Images as encoded files, wherever their bytes are."""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded file."""

    def image(self, index: int) -> np.ndarray:
        return decode(self._bytes(index))

    def size(self, index: int) -> tuple[int, int]:
        return size_of(self._bytes(index))

    def _bytes(self, index: int) -> bytes:
        try:
            file = self.read(index)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        if not file:
            raise Unreadable("empty file")
        return file


class Folder(EncodedSource):
    """Image files under a folder, recursively; the folders right under it are the classes, if it has any."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = sorted(
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        parents = [Path(path).parts[0] if len(Path(path).parts) > 1 else None for path in self.paths]
        if self.paths and None not in parents:
            self.labels, self.classes = number([str(p) for p in parents])

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        return (self.root / self.paths[index]).read_bytes()

    def name(self, index: int) -> str:
        return self.paths[index]

    def fingerprint(self) -> str:
        return digest((path, (self.root / path).stat().st_size) for path in self.paths)


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
                        if not member.isfile() or path.name.startswith("."):
                            continue
                        if path.suffix.lower() in SUFFIXES:
                            self.members.append((shard, member.name, member.offset_data, member.size))
                        elif path.suffix == ".cls":
                            content = tar.extractfile(member)
                            assert content is not None
                            texts[shard, member.name[:-4]] = content.read().decode().strip()
            except (tarfile.TarError, OSError) as error:
                raise UsageError(f"{shard} is no uncompressed tar file: {error}") from None
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
        return self.members[index][1]

    def fingerprint(self) -> str:
        return digest((name, length) for _, name, _, length in self.members)


class Parquet(EncodedSource):
    """Parquet in the Hugging Face layout: a column of {bytes, path} (or of bytes), and maybe a column of labels."""

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(files[0])
            image = _image_column(schema)
            label = next((n for n in ("label", "labels", "fine_label", "class") if n in schema.names), None)
            columns = [image] + ([label] if label else [])
            # Read-only Arrow buffers: shared, not copied, by worker processes that fork.
            self._table = pa.concat_tables(pq.read_table(file, columns=columns) for file in files)
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise UsageError(f"{files[0]} cannot be read as Parquet with images: {error}") from None
        self._files = [(file.name, file.stat().st_size) for file in files]
        column = self._table[image]
        if pa.types.is_struct(column.type):
            column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
        self._images = column
        if label:
            values = self._table[label].to_pylist()
            names = _class_names(schema, label)
            if names and all(isinstance(v, int) and 0 <= v < len(names) for v in values):
                self.labels, self.classes = values, names
            elif values and None not in values:
                self.labels, self.classes = number([str(v) for v in values])

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> bytes:
        value: bytes | None = self._images[index].as_py()
        return value or b""

    def name(self, index: int) -> str:
        return f"row {index}"

    def fingerprint(self) -> str:
        return digest(self._files)


class Array(Source):
    """Images that lie in memory, uint8 [N, C, H, W], all of one size."""

    def __init__(self, images: np.ndarray, labels: Sequence[int] | None = None, classes: list[str] | None = None):
        self.images, self.labels, self.classes = images, labels, classes
        if labels is not None and len(labels) != len(images):
            raise UsageError(f"{len(images)} images with {len(labels)} labels")

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> np.ndarray:
        image: np.ndarray = self.images[index]
        return image

    def size(self, index: int) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[3]

    def name(self, index: int) -> str:
        return f"row {index}"

    def fingerprint(self) -> str:
        return hashlib.blake2b(np.ascontiguousarray(self.images).data, digest_size=8).hexdigest()


class Items(Source):
    """A sequence of (PIL image, label), as torchvision's datasets are."""

    def __init__(self, items: Sequence, name: str, classes: list[str] | None) -> None:  # type: ignore[type-arg]
        self._items, self._name, self.classes = items, name, classes
        labels = getattr(items, "targets", None)
        labels = getattr(items, "labels", getattr(items, "_labels", None)) if labels is None else labels
        if labels is not None and len(labels) == len(items) and np.asarray(labels).ndim == 1:
            values = np.asarray(labels)
            if values.dtype.kind in "iu" and values.min(initial=0) >= 0:  # torchvision marks "no label" with -1
                self.labels = values.tolist()

    def __len__(self) -> int:
        return len(self._items)

    def image(self, index: int) -> np.ndarray:
        buffer = io.BytesIO()
        try:
            self._items[index][0].convert("RGB").save(buffer, "BMP")
        except (OSError, SyntaxError) as error:
            raise Unreadable(str(error)) from None
        return decode(buffer.getvalue())

    def size(self, index: int) -> tuple[int, int]:
        image = self._items[index][0]
        return image.height, image.width

    def name(self, index: int) -> str:
        return f"{self._name} {index}"

    def fingerprint(self) -> str:
        return digest([(self._name, len(self))])


class Subset(Source):
    """Some images of another source, renumbered."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source, self.indices, self.classes = source, [int(i) for i in indices], source.classes
        self.labels = None if source.labels is None else [int(source.labels[i]) for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> np.ndarray:
        return self._source.image(self.indices[index])

    def size(self, index: int) -> tuple[int, int]:
        return self._source.size(self.indices[index])

    def name(self, index: int) -> str:
        return self._source.name(self.indices[index])

    def fingerprint(self) -> str:
        return digest([(self._source.fingerprint(), str(self.indices))])


def number(values: list[str]) -> tuple[list[int], list[str]]:
    """Class numbers and class names of texts; numerals keep their order as numbers."""
    numeric = all(value.isdecimal() for value in values)
    classes = sorted(set(values), key=int) if numeric else sorted(set(values))
    position = {name: i for i, name in enumerate(classes)}
    return [position[value] for value in values], classes


def digest(rows: object) -> str:
    """Eight bytes, in hexadecimal, over an iterable's contents."""
    hasher = hashlib.blake2b(digest_size=8)
    for row in rows:  # type: ignore[attr-defined]
        hasher.update(repr(row).encode())
    return hasher.hexdigest()


def _image_column(schema) -> str:  # type: ignore[no-untyped-def]
    import pyarrow as pa

    def holds_files(field) -> bool:  # type: ignore[no-untyped-def]
        if pa.types.is_struct(field.type):
            return any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
        return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))

    fields = sorted(schema, key=lambda field: field.name not in ("image", "img"))
    return next(str(field.name) for field in fields if holds_files(field))


def _class_names(schema, label: str) -> list[str] | None:  # type: ignore[no-untyped-def]
    import json

    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def load_array(path: Path) -> dict[str, Array]:
    """Splits of an ``.npy`` (images) or ``.npz`` file.

    An ``.npz`` holds ``images`` and maybe ``labels``, or ``train_images``, ``train_labels``, ``test_images``,
    ``test_labels`` (also ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``val_*`` where there is no test).
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is no NumPy file of plain arrays: {error}") from None
    arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    splits = {}
    for split, pairs in {
        "train": [("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train"), ("x", "y")],
        "test": [
            ("test_images", "test_labels"),
            ("x_test", "y_test"),
            ("val_images", "val_labels"),
            ("x_val", "y_val"),
        ],
    }.items():
        for images, labels in pairs:
            if images in arrays:
                values = arrays[labels].squeeze() if labels in arrays else None
                if values is not None and (values.ndim != 1 or values.dtype.kind not in "iu" or values.min() < 0):
                    values = None  # several labels an image, or none that name a class
                listed = None if values is None else values.tolist()
                splits[split] = Array(as_images(arrays[images], f"{images} in {path}"), listed)
                break
    if "train" not in splits:
        raise UsageError(f"{path} has no array named images, train_images or x_train (it has {', '.join(arrays)})")
    return splits
