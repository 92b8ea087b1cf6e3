"""Sources of encoded image files, and the first of them: files by their paths, and folders."""

import itertools
import os
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from twofold.data import bounds, masks
from twofold.data.compact import Coded, Numbers, Texts
from twofold.data.decode import FORMATS, Reduction, Scaled, Unreadable, decode, scaled
from twofold.data.masks import read_mask
from twofold.data.sources import WHOLE, Contents, Source, digest, modified, number
from twofold.data.unread import passed_over
from twofold.storage.names import escaped

SUFFIXES = frozenset(itertools.chain.from_iterable(FORMATS.values()))
"""The endings of images' files."""

LABELS = ("label", "labels", "fine_label", "class")
"""Names that a column of labels has."""

TABLES = (".csv", ".tsv")
"""The endings, in small letters, of tables that name images (`twofold.data.tables`)."""

ARRAY = ".npy"
"""The ending of arrays, which are images where there are no other image files."""


class EncodedSource(Source):
    """Images as encoded files, wherever their bytes are."""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded file."""

    def image(self, index: int) -> np.ndarray:
        return decode(self._bytes(index))

    def scaled(self, index: int, most: Reduction) -> Scaled:
        return scaled(self._bytes(index), most)

    def file(self, index: int) -> bytes:
        return self._bytes(index)

    def digest_of(self, names: Iterable[str], sizes: Iterable[int], times: Iterable[object] = ()) -> str:
        """Of all names, all sizes and, if these are `WHOLE` at most, all contents; else of all times and 64 contents.

        What it cannot see: in more than that, a file that was replaced by one of the same size and the same time.
        """
        lengths = list(sizes)
        every = len(lengths) > 0 and sum(lengths) <= WHOLE
        contents = self._contents.digests(self._bytes, every)
        return digest(itertools.chain(names, lengths, () if every else times, contents))

    @cached_property
    def _contents(self) -> Contents:
        return Contents(len(self))

    def _bytes(self, index: int) -> bytes:
        try:
            file = self.read(index)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        except bounds.Refused as error:
            raise Unreadable(str(error)) from None
        if not file:
            raise Unreadable("empty file")
        if len(file) > bounds.most():  # of what has no size before it is read
            raise Unreadable(f"the file takes {bounds.in_words(len(file))}, too much for an image ({bounds.VARIABLE})")
        self._contents.note(index, file)
        return file


class Files(EncodedSource):
    """Image files by their paths, as they are or under a root; ``masks`` are the files of masks by images' paths."""

    def __init__(self, paths: Iterable[str], root: Path = Path(), masks: Mapping[str, Path] = {}) -> None:
        self.paths, self.root, self.masks = Texts(paths), root, masks

    @cached_property
    def some_labels(self) -> Mapping[int, str]:
        """The class of each image that has one, where others have none."""
        return {}

    def __len__(self) -> int:
        return len(self.paths)

    def class_name(self, index: int) -> str | None:
        return self.some_labels.get(index) or super().class_name(index)

    def read(self, index: int) -> bytes:
        return bounds.read_file(self.root / self.paths[index])

    def name(self, index: int) -> str:
        return escaped(self.paths[index])

    def compute_fingerprint(self) -> str:
        """As `digest_of`."""
        files = [self.root / path for path in self.paths]
        return self.digest_of(self.paths, map(_length, files), map(modified, files))

    @cached_property
    def masked(self) -> list[int]:
        return [index for index, path in enumerate(self.paths) if path in self.masks]

    def mask(self, index: int) -> np.ndarray | None:
        path = self.masks.get(self.paths[index])
        return None if path is None else read_mask(path, escaped(str(path)))


def _length(file: Path) -> int:
    """In bytes; -1 for a file that is not there."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


class Folder(Files):
    """Image files under a folder, recursively; the folders right under it are the classes, if they hold all images.

    A folder that holds all of them, in further folders, is no class: those in it are. Masks, by the rules of
    `twofold.data.masks`, are no images. Where there are some, or all images lie in it, a folder that is named
    ``images`` or ``JPEGImages`` is no class.
    """

    def __init__(self, root: Path) -> None:
        closed: list[str] = []
        found: list[str] = []
        arrays: list[str] = []
        others = []
        for path in files_under(root, closed.append):
            if is_image(path, SUFFIXES | {ARRAY}):
                (found if is_image(path) else arrays).append(str(path.relative_to(root)))
            else:
                others.append(path)
        self.passed_over = passed_over(others)
        found.sort()
        arrays.sort()
        inside, theirs = masks.paired(found + arrays, root)
        if arrays and not set(found) <= theirs:  # there are pictures, not only masks of arrays
            arrays = []
            inside, theirs = masks.paired(found, root)
        super().__init__([path for path in found + arrays if path not in theirs], root)
        self.closed = self.notes = tuple(closed_folders(closed))
        self.masks = {image: root / mask for image, mask in inside.items()}
        outside = {
            image: path
            for folder in reversed(masks.folders_outside(root))
            for path in sorted(files_under(folder), key=lambda path: masks.likeliest(str(path)), reverse=True)
            if path.suffix.lower() in masks.ENDINGS
            for image in masks.images_outside(str(path.relative_to(folder)), folder)
        }
        if outside:
            beyond = {path: outside.get(str(Path(path).with_suffix(""))) for path in self.paths}
            self.masks = {path: mask for path, mask in beyond.items() if mask} | self.masks
        coded = Coded()
        no_class = masks.IMAGES if theirs or self.masks else ()
        common = _common_folder(self.paths)
        folders = coded.of(_uppermost(path[common:], no_class) for path in self.paths)
        loose = int((folders < 0).sum())
        if len(folders) and not loose:
            numbers, self.classes = number([escaped(folder) for folder in coded.texts])
            self.labels = Numbers(np.array(numbers)[folders])
            inner = len({path.rpartition("/")[0] for path in self.paths})
            if inner > len(self.classes):
                self.notes += (
                    f"the {len(self.classes)} first folders name the classes; the {inner} folders that hold the images "
                    "name none",
                )
        elif loose < len(folders):
            first = self.paths[int((folders < 0).argmax())]
            self.notes += (
                f"no image has a label: class folders must hold all images, and {loose} of {len(folders)} lie in none "
                f"({escaped(first)})",
            )


def _common_folder(paths: Sequence[str]) -> int:
    """How many characters at the beginning of all of some sorted paths are folders that name no class.

    These are the folders that all images lie in, if each image lies in a further one, which can name its class. A first
    folder that is called ``images`` is one of them in any case, as that says nothing of what its images show.
    """
    shared = os.path.commonpath([paths[0], paths[-1]]) if len(paths) else ""
    if shared and all("/" in path[len(shared) + 1 :] for path in paths):
        return len(shared) + 1
    first = shared.partition("/")[0]
    return len(first) + 1 if first.lower() in masks.IMAGES else 0


def _uppermost(path: str, passed: Collection[str]) -> str | None:
    """The first folder of a relative path, None if it has none, where some names, in any case, are none of interest."""
    return next((folder for folder in path.split("/")[:-1] if folder.lower() not in passed), None)


def is_image(path: PurePosixPath | Path, endings: frozenset[str] = SUFFIXES) -> bool:
    """By its ending."""
    return path.suffix.lower() in endings and not path.name.startswith(".")


def files_under(root: Path, closed: Callable[[str], object] = lambda _: None) -> Iterator[Path]:
    """All files, also behind links, but none in a hidden folder; no folder twice, so links may form circles.

    ``closed`` is told each folder that cannot be looked into, with the reason.
    """
    seen: set[str] = set()

    def tell(error: OSError) -> None:
        closed(f"{escaped(str(error.filename))}: {error.strerror}")

    for folder, folders, files in os.walk(root, followlinks=True, onerror=tell):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(folder, name) for name in files)
        seen.add(real)


def closed_folders(every: Sequence[str], beside: Sequence[Path] = ()) -> Iterator[str]:
    """What is said of folders that cannot be looked into, of which those in ``beside`` say it themselves."""
    closed = [said for said in every if not said.startswith(tuple(escaped(f"{folder}/") for folder in beside))]
    if closed:
        folders = "1 folder" if len(closed) == 1 else f"{len(closed)} folders"
        yield f"{folders} cannot be looked into, and what is there is left out: {closed[0][-200:]}"
