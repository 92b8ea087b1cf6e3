"""Masks of images: where they lie in a folder, and the class of each pixel that they hold.

A mask is a file of a format that keeps every pixel's value (`ENDINGS`), and belongs to an image of the same name
(without the ending) by one of four rules:

- it lies beside the image and its name ends in ``_mask``: ``photos/a_mask.png`` for ``photos/a.jpg``;
- it is a PNG file beside the image, which is of another format, and has no colours: ``photos/a.png`` for
  ``photos/a.jpg``;
- it lies in a folder of masks (`FOLDERS`) as the image does in the folder around that, or in the images' own folder
  (`IMAGES`) beside it: ``X/masks/sub/a.png`` for ``X/sub/a.jpg`` or ``X/images/sub/a.jpg``. So do Pascal
  VOC (``JPEGImages/a.jpg``, ``SegmentationClass/a.png``) and ADE20K (``images/training/a.jpg``,
  ``annotations/training/a.png``). Its name may end in ``_mask``, and it may lie a folder deeper, as
  ``annotations/trimaps/a.png`` of the Oxford pets does;
- it lies in a folder ``ground_truth`` as the image does in ``test`` beside it, and its name ends in ``_mask``, as those
  of MVTec AD do: ``ground_truth/scratch/a_mask.png`` for ``test/scratch/a.png``.

Its values are class numbers, whether they are grey values or numbers of colours in a palette.

Other files that are masks by their place are no images either, though they are not read: those beside an image whose
name goes on with ``_mask`` (``a_mask_1.png``, ``a_mask.jpg``), and all in a folder of masks that has masks of images or
a folder of images beside it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image

from twofold.data import bounds
from twofold.data.decode import opened
from twofold.data.tiff import is_tiff, whole_pages
from twofold.errors import UsageError

IGNORED = 255
"""The value of pixels that are of no class."""
PNG = ".png"
ENDINGS = (PNG, ".tif", ".tiff", ".bmp")
"""Endings of files that are read as masks, in any case, the likeliest first."""
BESIDE = "_mask"
FOLDERS = ("masks", "mask", "annotations", "segmentationclass", "labels", "segmentationobject")
"""Names of folders of masks, in any case. An image that has several gets the first; VOC's of objects are only no
images."""
IMAGES = ("images", "jpegimages", "image")
"""Names of folders of images, in any case."""
TRUTH, TEST = "ground_truth", "test"
"""A folder of masks whose names end in ``_mask``, and the folder of their images beside it; others may lie in both."""
RULES = "a_mask.png or a.png beside a.jpg, or masks/a.png for a.jpg or for images/a.jpg"
"""Where masks are looked for, in short."""
WHITE = 128
"""From this value on a pixel of a picture in black and white is white."""
SHADES = 64
"""A picture with more grey values than this is no mask, unless it is one in black and white."""
LOOKED_AT = 16
"""Of files that lie beside an image, so many say whether they are masks or photographs."""


def paired(paths: Iterable[str], root: Path) -> tuple[dict[str, str], set[str]]:
    """By each image that has one its mask; and all files that are masks by their place, though some cannot be read.

    ``paths``: of all files that can be images, relative to ``root``.
    """
    placed: dict[str, str] = {}
    named: dict[str, str] = {}
    others = []
    for path in sorted(paths):
        if (folder := _folder_of_masks(path)) is not None:
            placed[path] = folder
        elif name := _before_mask(_without_ending(path)):
            named[path] = name
        else:
            others.append(path)
    beside = _beside_another_format(others, root)
    if not (placed or named or beside):
        return {}, set()
    images = {_without_ending(path): path for path in reversed(others) if path not in beside}
    around = _folders_of_images(images.values()) if placed else {}

    found: dict[str, str] = {}
    theirs = beside | {path for path, name in named.items() if name in images}
    for mask in sorted(theirs, key=likeliest):
        if mask in beside or mask.lower().endswith(tuple(BESIDE + ending for ending in ENDINGS)):
            found.setdefault(images[named.get(mask, _without_ending(mask))], mask)
    folders = {folder for folder in placed.values() if _parent(folder) in around}
    order = {name: position for position, name in enumerate((*FOLDERS, TRUTH))}
    for mask in sorted(placed, key=lambda path: (order[placed[path].rpartition("/")[2].lower()], *likeliest(path))):
        keys = _images_of(mask, placed[mask], around) if mask.lower().endswith(ENDINGS) else ()
        if key := next((key for key in keys if key in images), None):
            found.setdefault(images[key], mask)
            folders.add(placed[mask])
    return found, theirs | {path for path, folder in placed.items() if folder in folders}


def likeliest(path: str) -> tuple[int, str]:
    """What to sort the masks of an image by, where it has several: by their formats as `ENDINGS` has them."""
    ending = f".{path.rpartition('.')[2].lower()}"
    return ENDINGS.index(ending) if ending in ENDINGS else len(ENDINGS), path


def _folder_of_masks(path: str) -> str | None:
    """The uppermost folder of masks that a file lies in."""
    small = path.lower()
    names = (*FOLDERS, TRUTH) if names_a_mask(path) else FOLDERS
    if not any(name in small for name in names):
        return None
    parts = path.split("/")[:-1]
    place = next((i for i, part in enumerate(parts) if part.lower() in names), None)
    return None if place is None else "/".join(parts[: place + 1])


def _before_mask(path: str) -> str | None:
    """The image that a file beside it is a mask of by its name, both without endings: ``a`` of ``a_mask_1``."""
    if BESIDE not in path.lower():
        return None
    named = re.fullmatch(rf"(.*[^/]){BESIDE}(?:[-_ ]?\d+)?", path, re.IGNORECASE | re.DOTALL)
    return named[1] if named else None


def _beside_another_format(paths: Sequence[str], root: Path) -> set[str]:
    """The PNG files that have no colours and lie beside an image of the same name in another format.

    None if they are photographs, as their previews may lie beside them.
    """
    pictures = [path for path in paths if path.lower().endswith(PNG)]
    if len(pictures) in (0, len(paths)):
        return set()
    others = {_without_ending(path) for path in set(paths).difference(pictures)}
    alike = [path for path in pictures if _without_ending(path) in others]
    grey = [path for path in alike if _colourless(root / path)]
    return set(grey) if _are_masks([root / path for path in grey]) else set()


def _colourless(path: Path) -> bool:
    """By a PNG file's header: are its pixels single numbers, grey values or those of a palette?"""
    try:
        header = bounds.read_file(path, 26)
    except (OSError, bounds.Refused):
        return False
    return len(header) == 26 and header[25] in (0, 3)


def _are_masks(files: Sequence[Path]) -> bool:
    """Do pictures hold class numbers, or black and white, and not photographs? By those of some of them."""
    counts, shades, fitting = np.zeros(256, np.int64), 0, 0
    looked_at = files[:: max(1, len(files) // LOOKED_AT)][:LOOKED_AT]
    for file in looked_at:
        try:
            own = np.bincount(read_mask(file, file.name).ravel(), minlength=256)
        except UsageError:  # it is no mask, or cannot be read, which will be said where it is needed
            continue
        fitting += 1
        counts += own
        shades = max(shades, int((own > 0).sum()))
    return 2 * fitting >= len(looked_at) > 0 and (shades <= SHADES or black_and_white(counts))


def _folders_of_images(paths: Iterable[str]) -> dict[str, set[str]]:
    """The names of folders of images, by the folder that each lies in."""
    found: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for place, part in enumerate(parts):
            if part.lower() in IMAGES:
                found.setdefault("/".join(parts[:place]), set()).add(part)
    return found


def _images_of(mask: str, folder: str, around: Mapping[str, set[str]]) -> Iterator[str]:
    """The images, without endings, that a mask in a folder of masks may belong to, the likeliest first."""
    base, rest = _parent(folder), _without_ending(mask)[len(folder) + 1 :]
    rests = [rest, rest.partition("/")[2]]
    for own in filter(None, [*rests, *map(_before_mask, rests)]):
        for name in (TEST,) if folder.lower().endswith(TRUTH) else ("", *sorted(around.get(base, ()))):
            yield "/".join(filter(None, (base, name, own)))


def images_outside(mask: str, folder: Path) -> tuple[str, ...]:
    """The images, without endings, that a mask in one of `folders_outside` may belong to, as its path in it says."""
    own = _without_ending(mask)
    return tuple(filter(None, (None if folder.name == TRUTH else own, _before_mask(own))))


def names_a_mask(path: str) -> bool:
    """Whether a file is named as a mask is, with ``_mask`` before its ending."""
    return _before_mask(_without_ending(path)) is not None


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]


def _without_ending(path: str) -> str:
    return path.rpartition(".")[0]


def folders_outside(root: Path) -> list[Path]:
    """The folders of masks of images under ``root`` that do not lie in it: ``X/masks`` for ``X/images``."""
    whole = root.absolute()
    candidates = [whole.parent / name / whole.name for name in FOLDERS]
    if whole.name.lower() == TEST:
        candidates.append(whole.parent / TRUTH)
    place = next((i for i in reversed(range(len(whole.parts))) if whole.parts[i] in IMAGES), None)
    if place is not None:
        candidates += [Path(*whole.parts[:place], name, *whole.parts[place + 1 :]) for name in FOLDERS]
    return [folder for folder in candidates if folder.is_dir()]


def read_mask(path: Path, name: str) -> np.ndarray:
    """`decode_mask` of a file.

    Raises:
        UsageError: if it is not there any more, or is no mask.
    """
    try:
        return decode_mask(bounds.read_file(path), name)
    except (OSError, bounds.Refused) as error:
        raise UsageError(f"the mask {name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def decode_mask(file: bytes, name: str) -> np.ndarray:
    """The class of each pixel, uint8 [H, W], `IGNORED` where it has none.

    Raises:
        UsageError: if it cannot be read, holds colours, or numbers above 255; ``name`` is the mask's.
    """
    try:
        with opened(file) as image:
            pages = whole_pages(file) if is_tiff(file) else range(getattr(image, "n_frames", 1))
            if pages:
                image.seek(pages[0])
            step = _step(image)
            image.load()
            values = np.asarray(image.convert("L") if image.mode == "1" else image)  # white is white at 1 bit, too
            values = values // step if step > 1 else values
            colours = len(image.getbands()) - image.mode.endswith("A")
    except (MemoryError, UsageError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly every kind on broken files
        reason = "no PNG, BMP or TIFF file that Pillow reads" if "cannot identify" in str(error) else str(error)
        raise UsageError(f"the mask {name} cannot be read: {' '.join(reason.split())}") from None
    if values.ndim == 3 and (values[..., :colours] == values[..., :1]).all():  # greys that were saved as colours
        values = values[..., 0]
    if values.ndim != 2:
        raise UsageError(f"the mask {name} holds colours ({image.mode}), not a class number for each pixel")
    if len(pages) > 1:
        raise UsageError(f"the mask {name} holds {len(pages)} pages, not one with a class number for each pixel")
    with np.errstate(invalid="ignore"):  # of what is no number
        classes: np.ndarray = values.astype(np.uint8)
    if (classes != values).any():
        raise UsageError(
            f"the mask {name} holds numbers from {values.min()} to {values.max()}, not classes from 0 to 254"
        )
    return classes


def _step(image: Image) -> int:
    """How far apart the grey values of an image are that Pillow is going to stretch from 2 or 4 bits to 8, else 1."""
    codes = [tile.args for tile in getattr(image, "tile", ())]
    raw = codes[0] if codes and isinstance(codes[0], str) else str(codes[0][0]) if codes and codes[0] else ""
    return {"L;2": 85, "L;4": 17}.get(raw[:3], 1)


def black_and_white(counts: np.ndarray) -> bool:
    """Are masks with so many pixels of each value [256] pictures in black and white, and not class numbers?

    Their values are 0 and 255 alone, or white areas have soft edges: then 0 and 255 are nine tenths of the pixels and
    others are so bright that they would be numbers above 200, or more than half of all values occur and these two are
    the commonest. If 255 stood for pixels of no class, there would be but one class, or over a hundred.
    """
    black, between, white = counts[0], counts[1:IGNORED], counts[IGNORED]
    soft = (black + white >= 0.9 * counts.sum() and between[200:].any()) or (
        (between > 0).sum() > 128 and min(black, white) >= between.max()
    )
    return bool(white and (soft or not between.any()))
