"""Data that have a name of their own: the digits that come with scikit-learn, and data sets of torchvision."""

import numpy as np

from twofold.data.cache import cache
from twofold.data.objects import source_of
from twofold.data.sources import Array, Source
from twofold.errors import UsageError, did_you_mean

Parts = tuple[Source, Source | None]
"""What is learned from, and what is tested on, if there is such a part."""


def digits() -> Parts:
    """Scikit-learn's scanned digits, every fifth for testing."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(grey[:, None], 3, axis=1)
    names = [str(name) for name in bunch.target_names]
    held = np.arange(len(images)) % 5 == 4
    train, test = (Array(images[part], bunch.target[part].tolist(), names) for part in (~held, held))
    return train, test


def torchvision(name: str, download: bool) -> Parts:
    """A data set of torchvision from the cache, where it is put if it may be downloaded.

    Raises:
        UsageError: if there is none of that name, or it cannot be had.
    """
    import torchvision.datasets

    if not hasattr(torchvision.datasets, name):
        raise UsageError(f"torchvision has no data set {name!r}{did_you_mean(name, torchvision.datasets.__all__)}")
    kind = getattr(torchvision.datasets, name)
    splits: dict[str, Source] = {}
    for split in ("train", "test"):
        for arguments in ({"train": split == "train"}, {"split": split}):
            try:
                items = kind(str(cache() / "torchvision"), download=download, **arguments)
            except (TypeError, ValueError):
                continue  # this data set names its parts another way, or has no such part
            except (OSError, RuntimeError) as error:
                if not download:
                    raise not_here(f"torchvision:{name}") from None
                raise UsageError(f"torchvision:{name} cannot be downloaded: {' '.join(str(error).split())}") from None
            splits[split] = source_of(items, f"torchvision:{name}")
            break
    if "train" not in splits:
        raise UsageError(f"torchvision:{name} has no part named train")
    return splits["train"], splits.get("test")


def not_here(name: str) -> UsageError:
    """What is said of data that a run's recipe names and that are not on this machine."""
    return UsageError(f"the run's recipe names {name}, which is not on this machine: to download it, name it as DATA")
