"""Features that are kept in files, named by everything they depend on, so that nothing is computed twice."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twofold import dist
from twofold.data.sources import Source, digest
from twofold.encoding.crops import BATCH, CROPS
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import Encode, Features, extract_each
from twofold.encoding.progress import Tell, silent
from twofold.errors import Failed, UsageError
from twofold.run import say
from twofold.storage import files

UNSAFE = r"[^-\w. ]"
"""What has no place in the name of a file."""


def fingerprint(module: nn.Module, about: object) -> str:
    """A digest of a network's weights and of what else decides what it gives, e.g. how its input is prepared."""
    hasher = hashlib.blake2b(repr(about).encode(), digest_size=8)
    for key, value in module.state_dict().items():
        hasher.update(key.encode())
        hasher.update(value.detach().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()


@dataclass(frozen=True)
class Extractor:
    """What makes features: from central crops of ``size`` pixels, [n, C, size, size], to [n, D].

    ``key`` is a digest of everything else they depend on: two extractors with one key give the same features.
    """

    key: str
    size: int
    encode: Encode

    @classmethod
    def of(cls, encoder: Encoder) -> "Extractor":
        return cls(fingerprint(encoder.backbone, encoder.spec), encoder.spec.size, encoder)


@dataclass(frozen=True)
class Cache:
    """Features of one split of the data, in files of ``directory``.

    ``split`` is the split's name, as training and test images may have files of the same names and sizes.
    """

    directory: Path
    split: str
    source: Source

    @cached_property
    def fingerprint(self) -> str:
        """The source's; it reads files, so it is asked for once."""
        return self.source.fingerprint()

    def extracted(
        self, extractors: Mapping[str, Extractor], tell: Tell = silent, together: bool = False
    ) -> dict[str, Features]:
        """`extract`, but from files where they are there, and kept in files for the next time.

        ``together``: the processes of a launch share what is computed; only the first one reads, keeps and gets any.
        """
        paths = {name: self._path(name, e.key, e.size) for name, e in extractors.items()}
        first = not together or dist.rank() == 0
        kept = {name: found for name, path in paths.items() if first and (found := self._read(path))}
        names = [name for name in extractors if name not in kept]
        names = dist.of_first(names) if together else names
        missing = {name: (extractors[name].size, extractors[name].encode) for name in names}
        computed = extract_each(self.source, missing, tell, f"features, {self.split} images", together)
        if not first:
            return {}
        for name, features in computed.items():
            self._keep(paths[name], features)
        return {name: (kept | computed)[name] for name in extractors}

    def derived(self, name: str, key: str, base: Features, convert: Callable[[Tensor], Tensor]) -> Features:
        """Features that are made of others [N, D] in batches; ``key``: a digest of those and of what converts them."""
        path = self._path(name, key, 0)
        found = self._read(path)
        if found is None:
            values = torch.cat([convert(rows) for rows in base.values.split(BATCH)])
            found = Features(values, base.index, base.labels)
            self._keep(path, found)
        return found

    def _path(self, name: str, key: str, size: int) -> Path:
        about = [self.split, size, self.fingerprint, key, CROPS]
        return self.directory / f"{re.sub(UNSAFE, '_', name)}-{digest(about)}.npz"

    def _keep(self, path: Path, features: Features) -> None:
        if self.directory.is_symlink():
            raise UsageError(f"{self.directory} is a symbolic link, which features are not kept through: remove it")
        place = self.directory if self.directory.exists() else self.directory.parent
        if place.exists() and not os.access(place, os.W_OK):
            say(f"{place} may not be written to: features are not kept for the next time")
            return
        with files.saying(self.directory, "written"):
            self.directory.mkdir(exist_ok=True)
        values, index = features.values.numpy(), np.array(features.index)
        save = partial(np.savez, values=values, index=index, checksum=_checksum(path, values, index))
        files.write_atomically(path, save)

    def _read(self, path: Path) -> Features | None:
        """Features that are kept; None if there are none, or they are damaged, which is said."""
        if not path.exists():
            return None
        try:
            with files.saying(path, "read"), open(path, "rb") as file, np.load(file) as parts:
                values, index, checksum = parts["values"], parts["index"], parts["checksum"]
            fits = str(checksum) == _checksum(path, values, index)
        except (Failed, MemoryError):
            raise
        except Exception:  # of zip files and of NumPy, each has its own kinds
            fits = False
        if not fits:
            logging.getLogger("twofold").warning(f"{path} is damaged: these features are computed again")
            return None
        return Features.of(self.source, index.tolist(), torch.from_numpy(values))


def _checksum(path: Path, values: np.ndarray, index: np.ndarray) -> str:
    """Of what a file holds and of its name, which says what it was computed by."""
    return files.checksum({path.name: torch.from_numpy(values), "index": torch.from_numpy(index)})
