"""Atomic files: what stands at a path is whole, whatever kills the process; checksums."""

import errno
import glob
import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save as tensors_as_bytes
from torch import Tensor

from twofold.errors import Failed, UsageError, system_error, system_words

PARTIAL = ".partial"
CHECKSUM = "twofold.blake2b"
"""The key in the metadata of a .safetensors file that its `checksum` has."""
JSON_CHECKSUM = "checksum"
"""The last key of a JSON file that `write_json` has written."""
DIGEST = "blake2b "
"""What its value begins with, so that a damaged key is found too."""
ANEW = "remove it to start anew"
NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO)


@contextmanager
def saying(path: Path, what: str = "written") -> Iterator[None]:
    """Say in one line, with the file's name, that the operating system refused something inside the block.

    Raises:
        Failed: if it did.
    """
    try:
        yield
    except (Failed, UsageError):
        raise
    except Exception as error:  # what writes for us may have its own kind for the system's errors
        if system := system_error(error):
            raise Failed(f"{path} cannot be {what}: {system_words(system)}") from error
        raise


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], first: Callable[[], object] = lambda: None
) -> None:
    """Write to a temporary file beside ``path``, flush it to the disk, call ``first``, then take the old one's place.

    Raises:
        Failed: if there is no room, or it is not permitted; the old file is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    with saying(path):
        try:
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            first()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the rename itself must survive a power cut
        finally:
            os.close(directory)


def remove_partial(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left beside it."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        leftover.unlink()


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def target(path: str | Path | None) -> Path | None:
    """A path to write to, if there is to be one.

    Raises:
        UsageError: if its folder does not exist.
    """
    if path is not None and not Path(path).parent.is_dir():
        raise UsageError(f"there is no folder {Path(path).parent}")
    return None if path is None else Path(path)


def regular(path: str, flags: int) -> int:
    """An opener for `open`: no symbolic link is followed and no pipe waited for, as a run from elsewhere may have them.

    Raises:
        UsageError: if it is no regular file.
    """
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
    else:
        if stat.S_ISREG(os.fstat(number).st_mode):
            return number
        os.close(number)
    raise UsageError(f"{path} is a link or a pipe, which is not written to: remove it")


def write_json(path: Path | None, content: dict[str, Any], indent: int) -> dict[str, Any]:
    """Write JSON with a checksum to a file, if one is named; returns the content as `read_json` would read it."""
    written: dict[str, Any] = json.loads(json.dumps(content))
    if path is not None:
        write_text(path, json.dumps(written | {JSON_CHECKSUM: json_checksum(written)}, indent=indent) + "\n")
    return written


def json_checksum(content: dict[str, Any]) -> str:
    """A digest of what JSON holds, however it is laid out."""
    return DIGEST + hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def read_json(path: Path, remedy: str, foreign: bool = False) -> dict[str, Any]:
    """A table from a JSON file that `write_json` wrote; its checksum is compared and left out.

    Args:
        remedy: what to do where the file is of no use.
        foreign: whether it may also be written by others, without a checksum.

    Raises:
        UsageError: if it is damaged, or must have a checksum and has none, with the ``remedy``.
        Failed: if it cannot be read.
    """
    with saying(path, "read"):
        content = path.read_bytes()
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged ({' '.join(str(error).split())[:120]}): {remedy}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is damaged (it holds no table): {remedy}")
    key, said = next(reversed(found.items()), ("", ""))
    if key != JSON_CHECKSUM and not str(said).startswith(DIGEST):
        if not foreign:
            raise UsageError(f"{path} is not as twofold has written it (it has no checksum): {remedy}")
        return found
    del found[key]
    if key != JSON_CHECKSUM or said != json_checksum(found):
        raise UsageError(f"{path} is damaged (its checksum is another one): {remedy}")
    return found


def save(path: Path, state: dict[str, Any], first: Callable[[], object] = lambda: None) -> None:
    """Save a nested dict of tensors, numbers and texts. Torch writes a zip file, with a CRC-32 of every part."""
    write_atomically(path, lambda file: torch.save(state, file), first)


def check(path: Path, remedy: str = ANEW, ending: str = "") -> None:
    """Compare what `save` wrote, or its parts with that ``ending``, with their checksums.

    Raises:
        UsageError: if the file is damaged, with the ``remedy``.
        Failed: if it cannot be read.
    """
    with _damage(path, remedy), zipfile.ZipFile(path) as parts:
        for name in parts.namelist():
            if name.endswith(ending):
                with parts.open(name) as part:
                    while part.read(1 << 20):
                        pass


def digest(path: Path) -> str:
    """A digest of what `save` wrote, made of the checksums in the file: little of it is read.

    Raises:
        UsageError: if the file is damaged.
        Failed: if it cannot be read.
    """
    with _damage(path, ANEW), zipfile.ZipFile(path) as parts:
        found = [(part.filename, part.file_size, part.CRC) for part in parts.infolist()]
    return hashlib.blake2b(repr(found).encode(), digest_size=8).hexdigest()


def load(path: Path, remedy: str = ANEW) -> dict[str, Any]:
    """Load what `save` wrote, onto the CPU; runs no code from the file.

    Raises:
        UsageError: if the file is damaged, with the ``remedy``.
        Failed: if it cannot be read.
    """
    check(path, remedy)
    return _loaded(path, remedy)


def glance(path: Path) -> dict[str, Any]:
    """What `load` gives, whose numbers and texts are checked, but whose tensors are neither read nor checked."""
    check(path, ending="/data.pkl")
    return _loaded(path, ANEW, mmap=True)


def _loaded(path: Path, remedy: str, **how: Any) -> dict[str, Any]:
    with _damage(path, remedy):
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, **how)
    return state


@contextmanager
def _damage(path: Path, remedy: str) -> Iterator[None]:
    try:
        with saying(path, "read"):
            yield
    except (Failed, MemoryError):  # says nothing about the file
        raise
    except Exception as error:  # zip, pickle and torch each have their own kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UsageError(f"{path} is damaged ({reason}): {remedy}") from None


def checksum(tensors: dict[str, Tensor]) -> str:
    """A digest of tensors on the CPU, with their names, types and shapes."""
    hasher = hashlib.blake2b(digest_size=16)
    for key in sorted(tensors):
        value = tensors[key]
        hasher.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        hasher.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Save contiguous tensors on the CPU as .safetensors, with their `checksum`."""
    about = {CHECKSUM: checksum(tensors)}  # one entry alone: the library writes several in no certain order
    write_atomically(path, lambda file: file.write(tensors_as_bytes(tensors, about)))


def load_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file; if it has a checksum, they are compared with it.

    Raises:
        UsageError: if the file is damaged, with the ``remedy``.
        Failed: if it cannot be read.
    """
    try:
        with saying(path, "read"):
            content = path.read_bytes()  # safetensors itself opens no path that is no UTF-8
        tensors = tensors_of(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        said = header.get("__metadata__", {}).get(CHECKSUM)
    except (Failed, MemoryError):
        raise
    except Exception as error:  # of the library, of torch
        reason = " ".join(str(error).split())[:120]
        raise UsageError(f"{path} is damaged ({reason}): {remedy}") from None
    if said is not None and said != checksum(tensors):
        raise UsageError(f"{path} is damaged (its checksum is another one): {remedy}")
    return tensors
