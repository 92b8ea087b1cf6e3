"""From what the user names to sources of images, split into train and test where the data say so."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from twofold.data import downloads
from twofold.data.arrays import load_array
from twofold.data.encoded import TABLES, closed_folders, files_under, is_image
from twofold.data.folders import TEST, parts_of
from twofold.data.hub import kept_or_downloaded
from twofold.data.kinds import OfKind, of_kind
from twofold.data.names import DIGITS, HUGGING_FACE, PYTHON, TORCHVISION, braces, files_named, is_remote
from twofold.data.objects import source_of
from twofold.data.parquet import Parquet
from twofold.data.remote import Place, Remote, asking, size
from twofold.data.sampling import balanced
from twofold.data.shards import Tar
from twofold.data.sources import Source
from twofold.data.tables import open_table
from twofold.data.unread import advice
from twofold.errors import UsageError

DataLike = Any
"""DATA: a text or path as on the command line, or a Python object; `open_data` lists them."""

PATTERN = "https://host/shard-{000..127}.tar"
PACKED = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
"""Endings of archives that are not read."""
SAVED = "Arrow files of Hugging Face's library are not read: save them as Parquet, or pass datasets.load_from_disk(...)"


@dataclass(frozen=True)
class Data:
    """What DATA holds. ``test`` is None where the data name no test part."""

    train: Source
    test: Source | None = None
    mismatch: str = ""
    """why the two parts' classes do not fit together, if they do not: no matter unless labels are asked for"""
    name: str = f"{PYTHON}Data"
    """as in the recipe"""
    one_list: bool = False
    """whether both parts are rows of one list, so that no name is in both"""
    notes: tuple[str, ...] = ()
    """sentences for whoever uses them: what was passed over, and of how many images these are a sample"""

    def limited(self, limit: int) -> "Data":
        """A sample of ``limit`` training images, see `balanced`; 0: all."""
        if not 0 < limit < len(self.train):
            return self
        alike = "" if self.train.labels_at_hand is None else ", balanced over their classes"
        sampled = f"the training images are a sample of {limit} of {len(self.train)} images{alike}"
        return replace(self, train=balanced(self.train, limit), notes=(*self.notes, sampled))

    def of_kind(self, channels: int | None, depth: str | None = None) -> "Data":
        """The images with so many channels of that depth; None: as they have them."""
        test = None if self.test is None else of_kind(self.test, channels, depth)
        return replace(self, train=of_kind(self.train, channels, depth), test=test)

    @property
    def changes(self) -> tuple[str, ...]:
        """In words, which kinds of images were converted, as far as images have been read."""
        parts = [part for part in (self.train, self.test) if isinstance(part, OfKind)]
        return tuple(dict.fromkeys(said for part in parts for said in part.changes))


def open_data(data: DataLike) -> Data:
    """Open DATA, which is one of these:

    - a text or path: a folder, a table of image files (``.csv``, `twofold.data.tables`), tar shards, Parquet, .npz,
      .npy, ``digits``, ``torchvision:NAME``, ``hf:owner/name``;
    - the address of tar or Parquet files, ``https://host/shard-{000..127}.tar``, or of a folder of them in a store,
      ``s3://bucket/folder``, ``gs://bucket/folder``, ``hf://datasets/owner/name``;
    - an array or tensor of images, [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 to 16, of uint8, uint16 or float32;
    - a list of images, or a column of pandas or polars, each of its own size: PIL images, paths, or such arrays or
      tensors [H, W], [H, W, C] or [C, H, W];
    - a list, or a map-style torch Dataset or any sequence, whose items are images, (image, label), or dicts of both
      with the names ``image`` and ``label``; images are as in a list. Labels that a Dataset does not list (as
      ``targets`` or ``labels``) are read from its items, each once, when they are first asked for;
    - a Hugging Face `datasets.Dataset`;
    - a tuple of two: (images, labels), the images as one of the above, the labels numbers or texts;
    - a dict of any of these with a ``train`` and perhaps a ``test`` (or ``validation``) part, as a Hugging Face
      `DatasetDict` is;
    - a `Source`, or `Data` that were opened before.

    Images are to be given as they are before transforms. A Dataset is read from several threads, and from worker
    processes that are forked.

    Raises:
        UsageError: if it is not there, holds no images, or cannot be had without a network.
    """
    if isinstance(data, Data):
        opened = data
    elif isinstance(data, str | Path):
        opened = replace(_open(str(data)), name=str(data))
    else:
        opened = replace(_objects(data, name_of(data)), name=name_of(data))
    if len(opened.train) == 0:
        raise UsageError("; ".join([f"there are no images in {opened.name}", *opened.notes]))
    if opened.test is None or len(opened.test) == 0:
        return replace(opened, test=None)
    test, mismatch = _numbered_alike(opened.train, opened.test)
    return replace(opened, test=test, mismatch=mismatch)


def reopened(name: str) -> Data:
    """Open what a run's recipe names, which the person may not have seen: nothing is downloaded.

    Raises:
        UsageError: as `open_data` does; also for data of the network that are not on this machine.
    """
    if is_remote(name):
        raise downloads.not_here(name)
    for prefix, opened in DOWNLOADED.items():
        if name.startswith(prefix):
            return open_data(replace(opened(name.removeprefix(prefix), False), name=name))
    return open_data(name)


def name_of(data: DataLike) -> str:
    """DATA in a word, for the recipe: the text or path itself, or ``python:`` and the kind of object."""
    if isinstance(data, Data):
        return data.name
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, tuple) and len(data) == 2:  # images and labels
        return name_of(data[0])
    return f"{PYTHON}{type(data).__name__}"


def _objects(data: Any, name: str) -> Data:
    if not isinstance(data, Mapping):
        source = source_of(data, name)
        return Data(source, notes=source.notes)
    if "train" not in data:
        raise UsageError(f"{name} has no part named train (it has {', '.join(map(str, data)) or 'none'})")
    part = next((part for part in TEST if part in data), None)
    train, test = source_of(data["train"], name), None if part is None else source_of(data[part], name)
    notes = dict.fromkeys((*train.notes, *(test.notes if test else ())))  # both may say the same
    return Data(train, test, notes=tuple(notes))


def _numbered_alike(train: Source, test: Source) -> tuple[Source, str]:
    """The test part with the numbers that its classes have in the training part, and what prevents that, if anything.

    It may lack some of the classes.
    """
    if not (train.classes and test.classes and test.labels is not None) or train.classes == test.classes:
        return test, ""
    unknown = [name for name in test.classes if name not in train.classes]
    if unknown:
        classes = "a class" if len(unknown) == 1 else f"{len(unknown)} classes"
        named = ", ".join(name[:80] for name in unknown[:5])
        return test, f"the test part has {classes} that the training part lacks ({named}): leave their images out"
    numbers = [train.classes.index(name) for name in test.classes]
    renumbered = copy(test)
    renumbered.labels, renumbered.classes = [numbers[label] for label in test.labels], train.classes
    return renumbered, ""


def _open(text: str) -> Data:
    if text.startswith(PYTHON):
        raise UsageError(f"the run was given its images as a Python object ({text}): pass data= again")
    if text == DIGITS:
        return Data(*downloads.digits())
    if is_remote(text):
        return _remote(text)
    for prefix, opened in DOWNLOADED.items():
        if text.startswith(prefix):
            return opened(text.removeprefix(prefix), True)
    paths = files_named(text)
    if all(path.is_file() and path.suffix == ".tar" for path in paths):
        return _noted(Tar(paths))
    path = paths[0]
    if not path.is_dir() and not path.is_file():
        raise UsageError(f"'{path}' is neither a folder nor a regular file")
    if len(paths) > 1 and path.suffix != ".parquet":
        raise UsageError(f"'{text}' names {len(paths)} files; only .tar and .parquet files can be several")
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".parquet" and all(each.is_file() for each in paths):
        return _of_parquet(Parquet(paths))
    if path.suffix in (".npy", ".npz"):
        splits = load_array(path)
        return _noted(splits["train"], splits.get("test"))
    if path.suffix.lower() in TABLES:
        return replace(_noted(*open_table(path)), one_list=True)
    packed = "; unpack it first" if path.suffix.lower() in PACKED else ""
    raise UsageError(f"'{path}' is neither a folder nor a .csv, .tsv, .tar, .parquet, .npz or .npy file{packed}")


def _folder(root: Path) -> Data:
    closed: list[str] = []
    pictures, arrow, shards = False, False, list[Path]()
    for path in files_under(root, closed.append):
        pictures, arrow = pictures or is_image(path), arrow or path.suffix == ".arrow"
        if path.suffix in (".parquet", ".tar") and path.is_file():
            shards.append(path)
    data = None if pictures else _of_shards(((path.relative_to(root), path) for path in shards), closed_folders(closed))
    if data:
        return data
    train, test, notes = parts_of(root, closed)
    saved = (SAVED,) if arrow and not len(train) else ()
    return _noted(train, test, (*notes, *saved))  # of images, of arrays, or empty, which the caller says


def _of_shards(files: Iterable[tuple[PurePath, Place]], more: Iterable[str] = ()) -> Data | None:
    """The Parquet files, or else the tar files, among files with their places in a folder; None if there are none."""
    there = sorted(files, key=lambda file: file[0])
    for suffix, kind in ((".parquet", Parquet), (".tar", Tar)):
        parts: dict[str, list[Place]] = {}
        for path, place in there:
            if path.suffix == suffix:
                parts.setdefault(_part(path), []).append(place)
        if parts:
            test = parts.get("test") or parts.get("val")
            train = parts.get("train") or parts.get("") or test
            assert train
            if test and test is not train:
                if kind is Tar:
                    return _noted(Tar(train), Tar(test), more)
                return _noted(Parquet(train, parts=False), Parquet(test, parts=False), more)
            return _of_parquet(Parquet(train), more) if kind is Parquet else _noted(Tar(train), more=more)
    return None


def _of_parquet(source: Parquet, more: Iterable[str] = ()) -> Data:
    return replace(_noted(source, source.test, more), one_list=True)


def _part(path: PurePath) -> str:
    """ "train", "test", "val" or "", from a folder's or the file's own name: ``test/0.parquet``, ``test-0.parquet``."""
    for name in path.parts:
        found = re.match(r"(train|test|val)(?:id(?:ation)?)?(?:[-_.\d]|$)", name)
        if found:
            return found[1]
    return ""


def _noted(train: Source, test: Source | None = None, more: Iterable[str] = ()) -> Data:
    """Files of images as data that say what was passed over; ``more`` is said of the training part."""
    train.notes = (*more, *train.notes)
    missed = Counter(train.passed_over) + Counter(test.passed_over if test else {})
    notes = dict.fromkeys((*advice(missed), *train.notes, *(test.notes if test else ())))  # both may say the same
    return Data(train, test, notes=tuple(notes))


def _hugging_face(name: str, download: bool) -> Data:
    folder = kept_or_downloaded(name, download)
    if folder is None:
        raise downloads.not_here(f"hf:{name}")
    return _folder(folder)


DOWNLOADED: dict[str, Callable[[str, bool], Data]] = {
    TORCHVISION: lambda name, download: Data(*downloads.torchvision(name, download)),
    HUGGING_FACE: _hugging_face,
}
"""What opens data of the network, by how their names begin: told the rest of the name, and whether to download."""


def _remote(text: str) -> Data:
    """Tar and Parquet files in a store or on the web, or a folder of them."""
    places = [Remote(name) for name in braces(text)]
    endings = {place.suffix for place in places}
    if len(endings) == 1 and endings <= {".tar", ".parquet"}:
        with asking(places[0]):
            size(places[0])
            return _of_parquet(Parquet(places)) if endings == {".parquet"} else _noted(Tar(places))
    root = text.rstrip("/")
    if len(places) > 1 or text.startswith(("http://", "https://")):
        raise UsageError(f"{text} is no .tar or .parquet file; of a folder on the web, name the files: {PATTERN}")
    with asking(places[0]):
        found = Remote(root).below()
        data = _of_shards((PurePosixPath(place.url.removeprefix(root + "/")), place) for place in found)
    if data is None:
        raise UsageError(f"there are no .tar and no .parquet files in {text}: pack the images first (twofold pack)")
    return data
