"""Uncompressed tar files of encoded images, one or several, read in place."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from twofold.data import bounds
from twofold.data.compact import Coded, Numbers, Texts
from twofold.data.decode import Unreadable
from twofold.data.encoded import ARRAY, SUFFIXES, EncodedSource, is_image
from twofold.data.listing import LABEL_BYTES, Shard, classes_beside, listed
from twofold.data.parallel import in_order
from twofold.data.remote import Place, Remote, part, size, stamp, stream
from twofold.data.sources import number
from twofold.errors import UsageError
from twofold.storage.names import escaped

AT_ONCE = 16
"""So many shards that are far away are asked for at once."""


class Tar(EncodedSource):
    """Uncompressed tar shards. Labels: ``KEY.cls`` beside ``KEY.png``, or ``class/name.png``.

    What there is, shard, name, offset and length of each image, lies in a few arrays.
    """

    def __init__(self, shards: Sequence[Place]) -> None:
        self._shards = list(shards)
        names, numbers, pictures = [], [], []
        given, folders = Coded(), Coded()
        labels, parents = [], []
        self.notes: tuple[str, ...] = ()
        threads = AT_ONCE if any(isinstance(path, Remote) for path in shards) else 1
        found = in_order(lambda place: listed(shards[place], read_shard), range(len(shards)), threads)
        for place, (path, shard) in enumerate(zip(shards, found, strict=True)):
            self.notes += tuple(sentences(path, shard))
            paths = [PurePosixPath(name) for name in shard.names]
            names.append(Texts(shard.names))
            numbers.append(np.array([(place, *member) for member in shard.places], np.int64).reshape(-1, 3))
            pictures.append(np.array([is_image(path) for path in paths], bool))
            labels.append(given.of(map(shard.label, shard.names)))
            parents.append(folders.of(path.parent.name if len(path.parts) > 1 else None for path in paths))
        self._names, self._places = Texts.joined(names), np.concatenate(numbers)
        self._numbers = np.arange(len(self._names))
        """Which of them are the images: pictures or, if there is none, arrays."""
        if (every := np.concatenate(pictures)).any():
            self._numbers = self._numbers[every]
        for codes, texts in ((np.concatenate(labels), given.texts), (np.concatenate(parents), folders.texts)):
            own = codes[self._numbers]
            if len(own) and (own >= 0).all():
                self.labels, self.classes = _classes(own, [escaped(text) for text in texts], self._shards)
                break

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, index: int) -> bytes:
        shard, offset, length = self._places[self._numbers[index]].tolist()
        bounds.check(length, "the file")
        content = part(self._shards[shard], offset, length)
        if len(content) < length:
            raise Unreadable(f"{escaped(str(self._shards[shard]))} has become shorter")
        return content

    def name(self, index: int) -> str:
        return escaped(self._names[int(self._numbers[index])])

    def compute_fingerprint(self) -> str:
        """As `EncodedSource.digest_of`, with the times of the shards that have images."""
        own = self._places[self._numbers]
        names, sizes = (self._names[number] for number in self._numbers.tolist()), own[:, 2].tolist()
        return self.digest_of(names, sizes, [stamp(self._shards[shard]) for shard in np.unique(own[:, 0])])


def _classes(codes: np.ndarray, texts: list[str], shards: Sequence[Place]) -> tuple[Numbers, list[str]]:
    """Class numbers and names of labels that are kept as numbers of texts, not all of which need occur."""
    used = np.unique(codes)
    names = classes_beside(shards)
    if names is not None and all(texts[code].isdecimal() and int(texts[code]) < len(names) for code in used):
        positions, classes = [int(texts[code]) for code in used], names
    else:
        positions, classes = number([texts[code] for code in used])
    by_code = np.zeros(len(texts), np.int64)
    by_code[used] = positions
    return Numbers(by_code[codes]), classes


def read_shard(path: Place) -> Shard:
    """The members of a tar file, without the images' contents. Of a file that is cut those before its end.

    Raises:
        UsageError: if it is no uncompressed tar file.
    """
    found = Shard()
    try:
        with (
            stream(path) as file,
            tarfile.open(fileobj=file, mode="r:", errorlevel=0, errors="surrogateescape") as tar,
        ):
            found.cut = not _is_whole(tar, found, size(path))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is no uncompressed tar file: {error}") from None
    return found


def _is_whole(tar: tarfile.TarFile, found: Shard, size: int) -> bool:
    """Note all members of an open tar file of so many bytes; whether it goes on to its end."""
    places: dict[str, tuple[int, int]] = {}
    assert tar.fileobj is not None
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
        if is_image(name, SUFFIXES | {ARRAY}):
            found.names.append(member.name)
            found.places.append(places[member.name])
        elif name.suffix == ".cls":
            _label(tar.fileobj, member.name, places[member.name], found)
    tar.fileobj.seek(tar.offset)  # where it stopped: at a block of zeros, the end, if nothing is wrong
    return tar.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _label(file: Any, name: str, place: tuple[int, int], found: Shard) -> None:
    """Note the text of a ``.cls`` member."""
    offset, length = place
    if length > LABEL_BYTES:
        found.long += 1
        return
    file.seek(offset)
    found.labels[name[:-4]] = file.read(length).decode("utf-8", "surrogateescape").strip()


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


def sentences(path: Place, shard: Shard) -> Iterator[str]:
    """What is left out of a tar file, in words."""
    name = escaped(path.name)
    if shard.cut:
        yield f"{name} is cut or damaged: the {len(shard.names)} images before that place are used"
    if shard.links:
        yield f"{shard.links} images in {name} were passed over: links to nothing before them, or files with holes"
    if shard.long:
        yield f"{shard.long} .cls files in {name} were passed over: longer than {LABEL_BYTES} bytes, they are no labels"
