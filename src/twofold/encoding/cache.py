"""Features that are kept in files, named by everything they depend on, so that nothing is computed twice."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twofold import files
from twofold.data.sources import Source, digest
from twofold.encoding.crops import BATCH
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import Encode, Features, extract_each
from twofold.encoding.progress import Tell, silent

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

    def extracted(self, extractors: Mapping[str, Extractor], tell: Tell = silent) -> dict[str, Features]:
        """`extract`, but from files where they are there, and kept in files for the next time."""
        missing = {name: e for name, e in extractors.items() if not self._path(name, e.key, e.size).exists()}
        sized = {name: (e.size, e.encode) for name, e in missing.items()}
        for name, features in extract_each(self.source, sized, tell, f"features, {self.split} images").items():
            self._keep(self._path(name, missing[name].key, missing[name].size), features)
        return {name: self._read(self._path(name, e.key, e.size)) for name, e in extractors.items()}

    def derived(self, name: str, key: str, base: Features, convert: Callable[[Tensor], Tensor]) -> Features:
        """Features that are made of others [N, D] in batches; ``key``: a digest of those and of what converts them."""
        path = self._path(name, key, 0)
        if not path.exists():
            values = torch.cat([convert(rows) for rows in base.values.split(BATCH)])
            self._keep(path, Features(values, base.index, base.labels))
        return self._read(path)

    def _path(self, name: str, key: str, size: int) -> Path:
        about = [self.split, size, self.fingerprint, key]
        return self.directory / f"{re.sub(UNSAFE, '_', name)}-{digest(about)}.npz"

    def _keep(self, path: Path, features: Features) -> None:
        self.directory.mkdir(exist_ok=True)
        save = partial(np.savez, values=features.values.numpy(), index=np.array(features.index))
        files.write_atomically(path, save)

    def _read(self, path: Path) -> Features:
        with np.load(path) as file:
            return Features.of(self.source, file["index"].tolist(), torch.from_numpy(file["values"]))
