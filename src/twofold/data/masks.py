"""Masks of images: where they lie in a folder, and the class of each pixel that they hold.

A mask is a PNG file, and belongs to an image of the same name (without the ending) by one of three rules:

- it lies beside the image and its name ends in ``_mask``: ``photos/a_mask.png`` for ``photos/a.jpg``;
- it lies beside an image of another format, ``photos/a.png`` for ``photos/a.jpg``, and so do all other PNG files that
  are no masks by the other rules;
- it lies in a folder of masks (`FOLDERS`) as the image does in the folder around that, or in the images' own folder
  (`IMAGES`) beside it: ``X/masks/sub/a.png`` for ``X/sub/a.jpg`` or ``X/images/sub/a.jpg``. So do Pascal VOC
  (``JPEGImages/a.jpg``, ``SegmentationClass/a.png``) and ADE20K (``images/training/a.jpg``,
  ``annotations/training/a.png``).

Its values are class numbers, whether they are grey values or numbers of colours in a palette.
"""

from collections.abc import Sequence, Set
from pathlib import Path, PurePath

import numpy as np

from twofold.data import bounds
from twofold.data.decode import opened
from twofold.errors import UsageError

IGNORED = 255
"""The value of pixels that are of no class."""
ENDING = ".png"
BESIDE = "_mask.png"
FOLDERS = ("masks", "annotations", "SegmentationClass", "SegmentationObject")
"""Names of folders of masks. An image that has several gets the first; VOC's of objects are only no images."""
IMAGES = ("images", "JPEGImages")
RULES = "a_mask.png or a.png beside a.jpg, or masks/a.png for a.jpg or for images/a.jpg"
"""Where masks are looked for, in short."""
WHITE = 128
"""From this value on a pixel of a picture in black and white is white."""


def paired(paths: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """By each image that has one its mask; and all files that are masks, or lie in a folder that has some.

    ``paths``: of all files that can be images, relative to one folder.
    """
    placed = {path: _folder_of_masks(path) for path in paths}
    likely = [path for path, folder in placed.items() if folder is not None or path.endswith(BESIDE)]
    beside = _beside_another_format(set(paths).difference(likely))
    likely += beside
    if not likely:
        return {}, set()
    images = {_without_ending(path): path for path in set(paths).difference(likely)}
    found: dict[str, str] = {}
    theirs, folders = set(), set()
    order = {name: position for position, name in enumerate(FOLDERS)}
    for mask in sorted(likely, key=lambda path: (order.get(PurePath(placed[path] or "").name, -1), path)):
        folder = placed[mask]
        ending = ENDING if mask in beside else BESIDE
        keys = [mask[: -len(ending)]] if folder is None else _images_of(mask, folder)
        for image in (images[key] for key in keys if key in images):
            found.setdefault(image, mask)
            theirs.add(mask)
            folders.add(folder)
    return found, theirs | {path for path, folder in placed.items() if folder is not None and folder in folders}


def _beside_another_format(paths: Set[str]) -> set[str]:
    """The PNG files, if each of them lies beside an image of the same name in another format; else none."""
    pictures = {path for path in paths if path.lower().endswith(ENDING)}
    if not pictures or len(pictures) == len(paths):
        return set()
    others = {path.rpartition(".")[0] for path in paths - pictures}
    return pictures if all(path[: -len(ENDING)] in others for path in pictures) else set()


def _folder_of_masks(path: str) -> str | None:
    """The uppermost folder of masks that a file lies in."""
    if not any(name in path for name in FOLDERS):
        return None
    parts = PurePath(path).parts[:-1]
    place = next((i for i, part in enumerate(parts) if part in FOLDERS), None)
    return None if place is None else str(PurePath(*parts[: place + 1]))


def _images_of(mask: str, folder: str) -> list[str]:
    """The images, without endings, that a mask in a folder of masks may belong to."""
    if not mask.lower().endswith(ENDING):
        return []
    around, rest = PurePath(folder).parent, _without_ending(str(PurePath(mask).relative_to(folder)))
    return [str(around / rest), *(str(around / name / rest) for name in IMAGES)]


def _without_ending(path: str) -> str:
    return str(PurePath(path).with_suffix(""))


def folders_outside(root: Path) -> list[Path]:
    """The folders of masks of images under ``root`` that do not lie in it: ``X/masks`` for ``X/images``."""
    whole = root.absolute()
    candidates = [whole.parent / name / whole.name for name in FOLDERS]
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
            image.load()
            values = np.asarray(image)
    except (MemoryError, UsageError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly every kind on broken files
        raise UsageError(f"the mask {name} cannot be read: {' '.join(str(error).split())}") from None
    if values.ndim != 2:
        raise UsageError(f"the mask {name} holds colours ({image.mode}), not a class number for each pixel")
    if values.dtype != bool and (values.min() < 0 or values.max() > 255):
        raise UsageError(f"the mask {name} holds numbers up to {values.max()}, not classes from 0 to 254")
    return values.astype(np.uint8)


def black_and_white(counts: np.ndarray) -> bool:
    """Are masks with so many pixels of each value [256] pictures in black and white, and not class numbers?

    Their values are 0 and 255 alone, or nearly so where white areas have soft edges: nine tenths of the pixels, and
    others so bright that they would be numbers above 200. With 255 for pixels of no class there would be but one class.
    """
    between = counts[1:IGNORED]
    soft = counts[0] + counts[IGNORED] >= 0.9 * counts.sum() and between[200:].any()
    return bool(counts[IGNORED] and (soft or not between.any()))
