"""Uncompressed tar files of encoded images, one or several, read in place."""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from twofold.data import bounds
from twofold.data.decode import Unreadable
from twofold.data.encoded import ARRAY, SUFFIXES, EncodedSource, is_image
from twofold.data.sources import modified, number
from twofold.errors import UsageError
from twofold.storage.names import escaped

LABEL_BYTES = 4096
"""A longer ``.cls`` is no label."""


@dataclass
class Shard:
    """What one tar file holds: offset and length of each image by its name, and texts of labels by their images' keys.

    ``links``: images that are links to what is not there before them, or have holes; ``long``: labels that are too
    long; ``cut``: whether the file is damaged or ends before its end, and what follows is lost.
    """

    images: list[tuple[str, int, int]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    links: int = 0
    long: int = 0
    cut: bool = False


class Tar(EncodedSource):
    """Uncompressed tar shards. Labels: ``KEY.cls`` beside ``KEY.png``, or ``class/name.png``."""

    def __init__(self, shards: Sequence[Path]) -> None:
        found = {path: read_shard(path) for path in shards}
        self.members = [(path, *member) for path, shard in found.items() for member in shard.images]
        """shard, name, offset, length"""
        pictures = [member for member in self.members if is_image(PurePosixPath(member[1]))]
        self.members = pictures or self.members
        self.notes = tuple(sentence for path, shard in found.items() for sentence in sentences(path, shard))
        keys = [(path, name[: len(name) - len(PurePosixPath(name).suffix)]) for path, name, _, _ in self.members]
        if self.members and all(key in found[path].labels for path, key in keys):
            self.labels, self.classes = number([found[path].labels[key] for path, key in keys])
        elif self.members and all(len(PurePosixPath(key).parts) > 1 for _, key in keys):
            self.labels, self.classes = number([escaped(PurePosixPath(key).parent.name) for _, key in keys])

    def __len__(self) -> int:
        return len(self.members)

    def read(self, index: int) -> bytes:
        shard, _, offset, length = self.members[index]
        bounds.check(length, "the file")
        with open(shard, "rb") as file:
            file.seek(offset)
            content = file.read(length)
        if len(content) < length:
            raise Unreadable(f"{escaped(str(shard))} has become shorter")
        return content

    def name(self, index: int) -> str:
        return escaped(self.members[index][1])

    def compute_fingerprint(self) -> str:
        """As `EncodedSource.digest_of`, with the times of the shards."""
        names, sizes = (name for _, name, _, _ in self.members), (size for *_, size in self.members)
        return self.digest_of(names, sizes, [modified(path) for path in self._shards])

    @cached_property
    def _shards(self) -> list[Path]:
        return list(dict.fromkeys(path for path, *_ in self.members))


def read_shard(path: Path) -> Shard:
    """The members of a tar file, without the images' contents. Of a file that is cut those before its end.

    Raises:
        UsageError: if it is no uncompressed tar file.
    """
    found = Shard()
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:", errorlevel=0, errors="surrogateescape") as tar:
            found.cut = not _is_whole(tar, found, size)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is no uncompressed tar file: {error}") from None
    return found


def _is_whole(tar: tarfile.TarFile, found: Shard, size: int) -> bool:
    """Note all members of an open tar file of so many bytes; whether it goes on to its end."""
    places: dict[str, tuple[int, int]] = {}
    for member in _members(tar):
        if member.isfile() and member.offset_data + member.size > size and not member.issparse():
            return False  # the last one, cut in two
        name = PurePosixPath(member.name)
        if member.isreg() and not member.issparse():
            places[member.name] = member.offset_data, member.size
        elif member.islnk() and member.linkname in places:
            places[member.name] = places[member.linkname]
        elif is_image(name, SUFFIXES | {ARRAY}) and not member.isdir():
            found.links += 1
            continue
        if member.name not in places:
            continue
        offset, length = places[member.name]
        if is_image(name, SUFFIXES | {ARRAY}):
            found.images.append((member.name, offset, length))
        elif name.suffix == ".cls" and length > LABEL_BYTES:
            found.long += 1
        elif name.suffix == ".cls":
            assert tar.fileobj is not None
            tar.fileobj.seek(offset)
            found.labels[member.name[:-4]] = escaped(
                tar.fileobj.read(length).decode("utf-8", "surrogateescape").strip()
            )
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)  # where it stopped: at a block of zeros, the end, if nothing is wrong
    return tar.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members up to the first that is damaged."""
    while True:
        try:
            member = tar.next()
        except (tarfile.TarError, OSError, ValueError, EOFError):
            return
        if member is None:
            return
        yield member


def sentences(path: Path, shard: Shard) -> Iterator[str]:
    """What is left out of a tar file, in words."""
    name = escaped(path.name)
    if shard.cut:
        yield f"{name} is cut or damaged: the {len(shard.images)} images before that place are used"
    if shard.links:
        yield f"{shard.links} images in {name} were passed over: links to nothing before them, or files with holes"
    if shard.long:
        yield f"{shard.long} .cls files in {name} were passed over: longer than {LABEL_BYTES} bytes, they are no labels"
