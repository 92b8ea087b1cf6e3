"""`twofold.pack`: any data as tar files that are read in place, in the naming of WebDataset."""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from twofold.data import listing
from twofold.data.decode import Unreadable
from twofold.data.encode import packed
from twofold.data.loader import none_readable
from twofold.data.opening import DataLike, open_data
from twofold.data.parallel import in_order
from twofold.data.sampling import known
from twofold.data.sources import Source
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.storage import files, locks

MIB = 1 << 20
ALONE = "shard"
"""The name of the shards of data without a test part; else they are ``train`` and ``test``."""
NAMED = 20
"""So many of the images that are left out are named."""

Item = tuple[int, bytes, str, int | None]
"""An image: its number, its file and the file's ending, its label."""


@dataclass(frozen=True)
class Packed:
    """What lies in a folder of shards.

    Attributes:
        path: the folder.
        images: how many images the shards have.
        shards: how many shards there are.
        bytes: how many bytes they have together.
        before: how many of them earlier calls had written.
        left_out: how many images cannot be read.
        unreadable: the names of the first 20 of these, and why.
        notes: what else there is to say, in sentences.
    """

    path: Path
    images: int
    shards: int
    bytes: int
    before: int
    left_out: int
    unreadable: list[tuple[str, str]]
    notes: tuple[str, ...] = ()


def pack(
    data: DataLike,
    out: str | Path,
    longest: int | None = None,
    shard_mib: int = 256,
    threads: int = 4,
    tell: Tell = silent,
) -> Packed:
    """Write images as tar shards, which are read in place and in any order, on this machine or from a store.

    ``OUT/shard-000000.tar`` and so on (``train-...`` and ``test-...`` where the data have both parts) hold ``KEY.jpg``,
    or whatever the file is, and ``KEY.cls``, the label's number, KEY being the image's number. Files are copied as they
    are; images that come as pixels become PNG (8-bit RGB) or TIFF, pixel by pixel the same. Beside each shard lies a
    listing, and ``index.jsonl`` has the names of the classes and each shard's BLAKE2b.

    A call that was killed goes on when it is given again, and the shards are the same to the byte.

    Args:
        data: a folder, an array, a Dataset, ...: see `twofold.data.opening.open_data`.
        out: the folder of the shards: new, empty, or begun by the same call.
        longest: how many pixels the longer side of an image has at most, at least 1. A smaller copy of a JPEG (also
            WebP, AVIF, JPEG 2000) is a JPEG of quality 90, of everything else without loss. None: as they are.
        shard_mib: the largest size of a shard in MiB, unless a single image is larger.
        threads: how many images are read, and made smaller, at a time.
        tell: a function that is told what is being done, how much of it is done, and how much there is.

    Raises:
        UsageError: if the data cannot be used, or ``out`` holds anything else.
        Failed: if there is no room, or it is not permitted.
    """
    for name, value in {"longest": longest, "shard_mib": shard_mib, "threads": threads}.items():
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    out, opened = Path(out), open_data(data)
    parts = {"train": opened.train, "test": opened.test} if opened.test else {ALONE: opened.train}
    about = {
        "twofold": "pack",
        "data": [source.fingerprint() for source in parts.values()],
        "longest": longest,
        "shard_mib": shard_mib,
        "classes": {part: source.classes for part, source in parts.items() if source.classes},
    }
    notes = [*opened.notes]
    if any(len(source.masked) for source in parts.values()):
        notes.append("masks are not packed")
    if any(source.groups for source in parts.values()):
        notes.append("groups are not packed, so evaluate cannot hold out whole ones")
    if any(known(source) is not source for source in parts.values()):
        notes.append("labels are not packed, as some images have none")
    check_own(out, about)
    with locks.held(out):
        index = Index(out, about)
        before = len(index.rows)
        last = [
            _write_part(out, part, source, index, longest, shard_mib * MIB, threads, tell)
            for part, source in parts.items()
        ]
    rows = index.rows
    unreadable = [(name, reason) for name, reason in chain(*(row["left_out"] for row in rows), *last)]
    if not rows:
        raise none_readable(opened.train, f"{len(opened.train)} images")
    images, size = (sum(row[name] for row in rows) for name in ("images", "bytes"))
    return Packed(out, images, len(rows), size, before, len(unreadable), unreadable[:NAMED], tuple(notes))


def check_own(out: Path, about: dict[str, Any]) -> None:
    """
    Raises:
        UsageError: if a folder holds anything but shards that this call has begun.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is no folder")
    index = out / listing.INDEX
    there = [path.name for path in out.iterdir() if path.name != ".lock" and not path.name.endswith(files.PARTIAL)]
    if not index.is_file():
        if there:
            raise UsageError(f"{out} holds {there[0]}, which is no shard of this command: choose another --out")
        return
    with files.saying(index, "read"), open(index, "rb") as file:
        begun = listing.header(file.readline(listing.HEADER_BYTES))
    if begun is None:
        raise UsageError(f"{index} is damaged: remove {out} to start anew, or choose another --out")
    other = [name for name, value in about.items() if begun.get(name) != value]
    if other:
        raise UsageError(f"{out} holds shards that were packed with other {' and '.join(other)}: choose another --out")


@dataclass
class Index:
    """The file that says what each shard is: a line is added when a shard is there, so a kill leaves whole ones."""

    folder: Path
    about: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: if it is damaged, or a shard that is listed has gone or has another size.
        """
        path = self.folder / listing.INDEX
        files.remove_partial(path)
        if path.exists():
            whole = path.read_bytes().split(b"\n")[1:-1]  # what follows the last line feed was cut off
            try:
                self.rows = [json.loads(line) for line in whole]
                sizes = {row["shard"]: row["bytes"] for row in self.rows}
            except (ValueError, KeyError, TypeError):
                raise UsageError(f"{path} is damaged: remove {self.folder} to start anew") from None
            for name, size in sizes.items():
                shard = self.folder / name
                if not shard.is_file() or shard.stat().st_size != size:
                    raise UsageError(f"{shard} is not as it was packed: remove {self.folder} to start anew")
        files.write_text(path, "".join(json.dumps(line) + "\n" for line in (self.about, *self.rows)))

    def add(self, row: dict[str, Any]) -> None:
        """Note a shard."""
        path = self.folder / listing.INDEX
        with files.saying(path), open(path, "ab", opener=files.regular) as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def _write_part(
    out: Path, part: str, source: Source, index: Index, longest: int | None, most: int, threads: int, tell: Tell
) -> list[tuple[str, str]]:
    """Write the shards that a part lacks. What cannot be read behind the last image of the last one: name, reason."""
    own = [row for row in index.rows if row["part"] == part]
    done = own[-1]["until"] if own else 0

    def read(number: int) -> Item | str:
        try:
            file = source.file(number)
            content, ending = packed(file, None if file is not None else source.image(number), longest)
        except Unreadable as error:
            return str(error)
        return number, content, ending, source.label(number)

    numbers = range(done, len(source))
    waiting = Waiting(zip(numbers, in_order(read, numbers, threads), strict=True), source)
    shard = len(own)
    while waiting.next() is not None:
        path = out / f"{part}-{shard:06}.tar"
        files.remove_partial(path)
        made = Shard(most)
        files.write_atomically(path, partial(made.fill, waiting=waiting))
        files.remove_partial(path.with_suffix(listing.LISTING))
        listing.save(path.with_suffix(listing.LISTING), made.listed, made.size)
        index.add(
            {
                "shard": path.name,
                "part": part,
                "images": len(made.listed.names),
                "until": made.until,
                "bytes": made.size,
                "blake2b": made.hasher.hexdigest(),
                "left_out": waiting.left_out_before(made.until),
            }
        )
        shard += 1
        tell("images packed" if part == ALONE else f"{part} images packed", made.until, len(source))
    return waiting.left_out_before(len(source))


class Waiting:
    """Images that are read, of which the next can be looked at before it is taken."""

    def __init__(self, found: Iterator[tuple[int, Item | str]], source: Source) -> None:
        self._found, self._source = found, source
        self._next: Item | None = None
        self._left_out: list[tuple[int, str]] = []

    def left_out_before(self, number: int) -> list[tuple[str, str]]:
        """Name and reason of what cannot be read before an image of that number; each is told once."""
        told = [(self._source.name(one), reason) for one, reason in self._left_out if one < number]
        self._left_out = [(one, reason) for one, reason in self._left_out if one >= number]
        return told

    def next(self) -> Item | None:
        """The next image; None if there is no other."""
        while self._next is None:
            number, item = next(self._found, (0, None))
            if item is None:
                return None
            if isinstance(item, str):
                self._left_out.append((number, item))
            else:
                self._next = item
        return self._next

    def take(self) -> None:
        """Go on to the one after it."""
        self._next = None


class Shard:
    """One tar file as it is written: what is in it, its bytes so far, and the number of the image that follows."""

    def __init__(self, most: int) -> None:
        self.most, self.size, self.until = most, 0, 0
        self.hasher = hashlib.blake2b(digest_size=16)
        self.listed = listing.Shard()

    def fill(self, file: BinaryIO, waiting: Waiting) -> None:
        """Write what waits, until the next image would be too much."""
        end = bytes(2 * tarfile.BLOCKSIZE)
        while (item := waiting.next()) is not None:
            number, content, ending, label = item
            key = f"{number:09}"
            before, content_at = self.size + len(end), self.size + tarfile.BLOCKSIZE
            image = member(key + ending, content) + (b"" if label is None else member(f"{key}.cls", b"%d" % label))
            if self.listed.names and before + len(image) > self.most:
                break
            self._write(file, image)
            self.listed.names.append(key + ending)
            self.listed.places.append((content_at, len(content)))
            if label is not None:
                self.listed.labels[key] = str(label)
            self.until = number + 1
            waiting.take()
        self._write(file, end)

    def _write(self, file: BinaryIO, content: bytes) -> None:
        file.write(content)
        self.hasher.update(content)
        self.size += len(content)


def member(name: str, content: bytes) -> bytes:
    """A file in a tar file: its header and its content, filled up to whole blocks."""
    about = tarfile.TarInfo(name)
    about.size = len(content)
    return about.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
