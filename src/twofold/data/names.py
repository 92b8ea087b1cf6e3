"""What the name of DATA stands for, told without opening anything, so that a wrong name is refused at once.

Nothing here imports torch.
"""

import math
import re
from itertools import product
from pathlib import Path

from twofold.errors import UsageError, did_you_mean

PYTHON = "python:"
"""Begins the name of data that were given as a Python object, which cannot be opened by that name."""
DIGITS = "digits"
"""The images that come with scikit-learn."""
TORCHVISION, HUGGING_FACE = "torchvision:", "hf:"
"""Begin the names of data that are downloaded."""
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "https": "aiohttp", "http": "aiohttp"}
"""The package that each kind of address needs beside fsspec."""
MOST_FILES = 100_000
"""A pattern of names stands for at most so many."""


def is_remote(text: str) -> bool:
    """Whether a name is an address."""
    return text.partition("://")[0] in PACKAGES and "://" in text


def is_path(text: str) -> bool:
    """Whether a name stands for files of this machine."""
    return not (text == DIGITS or is_remote(text) or text.startswith((PYTHON, TORCHVISION, HUGGING_FACE)))


def check_there(text: str) -> None:
    """
    Raises:
        UsageError: if a name stands for files of this machine, and these are not there.
    """
    if is_path(text):
        files_named(text)


def files_named(text: str) -> list[Path]:
    """The files or the folder of this machine that a name stands for.

    Raises:
        UsageError: if one of them is not there, or cannot be opened.
    """
    paths = [Path(name) for name in braces(text)]
    try:
        missing = [path for path in paths if not path.exists()]
    except OSError as error:  # a name that is too long, a folder that is closed
        raise UsageError(f"{text[:200]} cannot be opened: {error.strerror}") from None
    if missing:
        hint = did_you_mean(text, [DIGITS]) if "/" not in text else ""
        raise UsageError(f"there is no file or folder '{missing[0]}'{hint}")
    return paths


def braces(text: str) -> list[str]:
    """``shard-{000..127}.tar`` -> its 128 names.

    Raises:
        UsageError: if there are more than `MOST_FILES`.
    """
    parts = re.split(r"\{(\d{1,18})\.\.(\d{1,18})\}", text)
    ends = [(int(low), int(high)) for low, high in zip(parts[1::3], parts[2::3], strict=True)]
    names = math.prod(max(0, high - low + 1) for low, high in ends)
    if names > MOST_FILES:
        raise UsageError(f"{text} names {names:,} files, more than {MOST_FILES:,}")
    choices: list[list[str]] = [[parts[0]]]
    for (low, high), width, literal in zip(ends, map(len, parts[1::3]), parts[3::3], strict=True):
        choices += [[f"{i:0{width}d}" for i in range(low, high + 1)], [literal]]
    found = ["".join(choice) for choice in product(*choices)]
    if not found:
        raise UsageError(f"{text} names no file: a range must go from the lower number to the higher one")
    return found
