"""Each image's nearest neighbours by the features of the weights that a run starts from, for its second views."""

import torch
from torch import Tensor

from twofold import dist
from twofold.data.sources import Source
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.encoding.nearest import nearest
from twofold.errors import UsageError
from twofold.run import Run
from twofold.storage import files

KEPT = "neighbours.safetensors"


def neighbours(features: Tensor, count: int) -> Tensor:
    """The numbers of the nearest other rows of each row, nearest first, by the cosine after the mean is taken off.

    Args:
        features: float [N, D].
        count: how many neighbours each row gets, at least 1; where there are fewer other rows, all of them.

    Returns:
        int64 [N, count], or [N, N - 1] where there are fewer other rows.

    Raises:
        UsageError: if these are not at least two rows of finite numbers, or the count is below 1.
    """
    features = torch.as_tensor(features)
    if features.ndim != 2 or len(features) < 2 or count < 1:
        raise UsageError(f"at least 1 neighbour among 2 rows [N, D], not {count} among {list(features.shape)}")
    if not features.isfinite().all():
        raise UsageError("the features hold numbers that are not finite, so nothing is near to anything")
    return nearest(features, count)[1]


def find(run: Run, source: Source, encoder: Encoder, size: int, count: int) -> None:
    """Find the neighbours of every image of a run's source and keep them in its directory.

    All processes share the work, and each must call this. An image that cannot be read is its own neighbour: another
    one takes its place when its turn comes.
    """
    by_name = extract(source, size, {"start": encoder}, interpolation=encoder.spec.interpolation, together=True)
    if dist.rank() > 0:
        return
    found = by_name["start"]
    index = torch.tensor(found.index)
    nearest = index[neighbours(found.values.to(encoder.device), count).cpu()]
    table = torch.arange(len(source))[:, None].repeat(1, nearest.shape[1])
    table[index] = nearest
    files.save_tensors(run.path / KEPT, {"neighbours": table})


def kept(run: Run, images: int) -> Tensor:
    """The table of neighbours [images, count] that a run keeps.

    Raises:
        UsageError: if it is not there, or damaged.
    """
    path = run.path / KEPT
    if not path.exists():
        raise UsageError(f"{path} is missing: without it the run cannot go on as it began")
    remedy = "bring it back from a copy, or begin a new run with another --out"
    table = files.load_tensors(path, remedy).get("neighbours", torch.empty(0))
    if (
        table.dtype != torch.int64
        or table.ndim != 2
        or len(table) != images
        or not 0 <= table.min() <= table.max() < images
    ):
        raise UsageError(f"{path} is no table of neighbours of {images} images: {remedy}")
    return table
