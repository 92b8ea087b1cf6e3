"""`twofold.embed`: a vector for each image or each of its patches, in memory or streamed to a file."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import overload

from twofold import dist
from twofold.data.loader import none_readable
from twofold.data.opening import DataLike, open_data
from twofold.data.sources import digest
from twofold.encoding.backbones import open_backbone, remarks, run_of, unlike_pictures
from twofold.encoding.cache import fingerprint
from twofold.encoding.crops import BATCH, cut
from twofold.encoding.dense import patchwise
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.outputs import vectors
from twofold.outputs.rows import Embedded, Maker, Split
from twofold.outputs.vectors import Record
from twofold.recipe.version import VERSION
from twofold.run import Run
from twofold.storage import files, locks

PIECE = 8 * BATCH
"""How many images a piece has, so many are computed again after a kill; whole batches, so that vectors are the same.

Where rows are patches it has fewer, see `Maker.piece`."""

Kept = tuple[int, list[tuple[str, str]]]
"""A piece: how many vectors it has, and what could not be read."""


@dataclass(frozen=True)
class Written:
    """What `embed` wrote to a file.

    Attributes:
        path: the file.
        vectors: how many vectors it has.
        features: how many numbers a vector has.
        images: how many images the data have, readable or not.
        before: how many of these earlier calls had done.
        unreadable: the name of each image that was left out, and why.
        notes: what else there is to say of the data and the file, in sentences.
    """

    path: Path
    vectors: int
    features: int
    images: int
    before: int
    unreadable: list[tuple[str, str]]
    notes: tuple[str, ...] = ()


@overload
def embed(
    what: str | Path | Run,
    data: DataLike,
    out: None = None,
    device: str | None = None,
    tell: Tell = silent,
    *,
    patches: bool = False,
    backbone: str | None = None,
    together: bool = False,
) -> Embedded: ...
@overload
def embed(
    what: str | Path | Run,
    data: DataLike,
    out: str | Path,
    device: str | None = None,
    tell: Tell = silent,
    *,
    patches: bool = False,
    backbone: str | None = None,
    together: bool = False,
) -> Written: ...
def embed(
    what: str | Path | Run,
    data: DataLike,
    out: str | Path | None = None,
    device: str | None = None,
    tell: Tell = silent,
    *,
    patches: bool = False,
    backbone: str | None = None,
    together: bool = False,
) -> Embedded | Written:
    """A backbone's features of every readable image, or of each of its patches.

    With ``out`` they are streamed: memory does not grow with the number of images, but for the source's own list of
    them. What is done is kept in ``OUT.partial`` until all is, so a killed call that is given again goes on, to the
    same file byte for byte. A whole file of the same backbone, data and kind of device is left as it is, any other is
    replaced at the end.

    Args:
        what: a run or its directory, whose pretrained backbone it is; a folder in it that keeps another (``start``,
            ``teacher``); a file of weights; or the name of a timm model, which comes with its published weights.
        data: images, with or without labels: a path, or a Python object as `twofold.data.opening.open_data` takes it.
        out: where to write: ``NAME.parquet`` (columns ``path``, which begins with ``train/`` or ``test/`` where
            data have both and no list of all, ``label`` and ``vector``), or ``NAME.npy`` (float32
            [N, D]) with ``NAME.index.csv`` (``path,label``, a row a vector). With ``patches`` also ``row`` and
            ``column`` of the patch in its image's grid and ``x`` and ``y`` of its centre, in pixels of the upright
            image; the central crop that the backbone gets is undone.
        device: cpu, cuda or mps; None: a GPU if there is one.
        tell: a function that is told what is being done, how much of it is done, and how much there is.
        patches: a row for each patch instead of each image, row by row of its grid: what the backbone's pooling gets.
        backbone: for a file of weights, the name of the timm model that they belong to.
        together: with ``out``, all processes of a launch share the work, and each must call this; they must be joined,
            as `twofold.launch.processes` does.

    Returns:
        The vectors; with ``out`` only what was written.

    Raises:
        UsageError: if there is no such backbone or data, no image can be read, ``out`` has another ending, or
            ``OUT.partial`` is of another run or of other data.
    """
    run, target = run_of(what), files.target(out)
    if target and target.suffix not in vectors.ENDINGS:
        raise UsageError(f"{target} must end in {' or '.join(vectors.ENDINGS)}")
    if target and target.is_dir():
        raise UsageError(f"{target} is a folder")
    encoder = open_backbone(what, backbone=backbone, device=device)
    opened = open_data(data).of_kind(encoder.spec.channels, run.depth if run else None)
    parts = {"train": opened.train, "test": opened.test} if opened.test else {"": opened.train}
    splits = [Split(name, source, opened.one_list) for name, source in parts.items()]
    maker = Maker(encoder, patchwise(encoder) if patches else None)
    if target is None:
        return _collect(maker, splits, tell)
    rows = "patches" if patches else "images"
    weights = fingerprint(encoder.backbone, encoder.spec)
    about = {"twofold": VERSION, "backbone": weights, "device": encoder.device.type, "rows": rows}
    identity = {**about, "data": [split.identity() for split in splits]}
    unlike = (*unlike_pictures(what, opened.train), *remarks(encoder.spec, opened.train))
    written = _stream(maker, splits, target, identity, tell, together)
    return replace(written, notes=(*written.notes, *opened.notes, *opened.changes, *unlike))


def _collect(maker: Maker, splits: list[Split], tell: Tell) -> Embedded:
    found = []
    for split in splits:
        ranges = list(cut(range(len(split.source)), maker.batch()))
        for numbers, embedded in zip(ranges, maker.rows(split, ranges), strict=True):
            found.append(embedded)
            tell(split.images, numbers.stop, len(split.source))
    result = Embedded.joined(found)
    if not result.names:
        raise none_readable(splits[0].source, f"{len(result.unreadable)} images")
    return result


def _stream(maker: Maker, splits: list[Split], target: Path, identity: Record, tell: Tell, together: bool) -> Written:
    """``together``: each process computes its share of the pieces, and the first one makes the file of all."""
    folder = target.with_name(target.name + files.PARTIAL)
    pieces = {folder / f"{split.name or 'images'}-{numbers.start:09}-{numbers.stop:09}.parquet": (split, numbers)
              for split in splits for numbers in cut(range(len(split.source)), maker.piece(PIECE))}  # fmt: skip
    images = sum(len(split.source) for split in splits)
    rank, world = (dist.rank(), dist.world()) if together else (0, 1)
    if together:
        dist.same(digest([str(identity), str(target)]), "all processes must embed the same images into one file")
    with ExitStack() as held:
        found: tuple[dict[Path, Kept], Record | None] = {}, None
        if rank == 0:
            held.enter_context(locks.locked(target.with_name(f".{target.name}.lock"), target))
            if folder.is_symlink():
                raise UsageError(f"{folder} is a symbolic link, which is not written through: remove it")
            locks.make_folder(folder)
            found = _whole(folder, identity), vectors.record_of(target)
        whole, record = dist.of_first(found) if together else found
        if not folder.is_dir():
            raise UsageError(f"all processes must share the folder {folder.parent}")
        before = sum(len(numbers) for path, (_, numbers) in pieces.items() if path in whole)
        others = record is not None and record.get("of") != identity
        if record and not others:
            before = images
        else:
            mine, computed = [path for path in pieces if path not in whole][rank::world], dict[Path, Kept]()
            for split in splits:
                own = {path: pieces[path][1] for path in mine if pieces[path][0] is split}
                computed |= _compute(maker, split, own, identity, tell)
            for each in dist.every(computed) if together else [computed]:
                whole |= each
            kept = [whole[path] for path in pieces]
            record = {"of": identity, "vectors": sum(count for count, _ in kept)}
            record["unreadable"] = list(chain.from_iterable(unreadable for _, unreadable in kept))
            if rank == 0:
                _join(target, list(pieces), maker.width, record, splits[0])
        if together:
            dist.barrier()
        if rank == 0:
            shutil.rmtree(folder)
    unreadable = [(name, reason) for name, reason in record["unreadable"]]
    notes = ("it took the place of vectors of another backbone or of other images",) if others else ()
    return Written(target, record["vectors"], maker.width, images, before, unreadable, notes)


def _join(target: Path, pieces: list[Path], width: int, record: Record, split: Split) -> None:
    """Make the file of its pieces.

    Raises:
        UsageError: if none of them has a vector, or one is not here, where another process should have written it.
    """
    if any(not path.exists() for path in pieces):
        raise UsageError(f"all processes must share the folder {target.parent}")
    if record["vectors"] == 0:
        shutil.rmtree(pieces[0].parent)
        raise none_readable(split.source, f"{len(record['unreadable'])} images")
    for path in vectors.files(target):
        files.remove_partial(path)
    vectors.assemble(target, pieces, record["vectors"], width, record)


def _whole(folder: Path, identity: Record) -> dict[Path, Kept]:
    """The undamaged pieces in a folder, with what they hold.

    Raises:
        UsageError: if one is of another backbone or of other data.
    """
    found = {}
    for path in folder.glob("*.parquet"):
        if loaded := vectors.load_piece(path):
            count, record = loaded
            found[path] = count, record["unreadable"]
            other = [name for name, value in identity.items() if record["of"].get(name) != value]
            if other:
                what = f"{folder} holds what an unfinished command has computed with other {' and '.join(other)}"
                raise UsageError(f"{what}: remove it, or choose another --out")
    return found


def _compute(maker: Maker, split: Split, missing: dict[Path, range], identity: Record, tell: Tell) -> dict[Path, Kept]:
    """Write the missing pieces of a split. They are decoded as one stream: no decoder waits between two of them."""
    written = {}
    batch = maker.batch()
    ranges = chain.from_iterable(cut(numbers, batch) for numbers in missing.values())
    computed = maker.rows(split, ranges)
    for path, numbers in missing.items():
        found = []
        for part in cut(numbers, batch):
            found.append(next(computed))
            tell(split.images, part.stop, len(split.source))
        piece = Embedded.joined(found)
        vectors.save_piece(path, piece, {"of": identity, "unreadable": piece.unreadable})
        written[path] = len(piece.names), piece.unreadable
    return written
