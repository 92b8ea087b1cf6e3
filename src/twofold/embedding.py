"""`twofold embed`: one vector an image."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from twofold import checkpoint
from twofold import device as devices
from twofold.data import open_data
from twofold.data.sources import Source
from twofold.errors import UsageError
from twofold.evaluation.features import Encoder, extract
from twofold.evaluation.protocols import Tell
from twofold.run import Run


@dataclass(frozen=True)
class Embedded:
    """Vectors [N, D], and for each its image's name and label (None where the data have none)."""

    vectors: np.ndarray
    names: list[str]
    labels: list[str] | None


def embed(
    run: str | Path | Run,
    data: str | Path,
    out: str | Path | None = None,
    device: str = "auto",
    tell: Tell | None = None,
) -> Embedded:
    """The pretrained backbone's features of every readable image.

    Args:
        run: the run directory.
        data: images, with or without labels.
        out: where to write: ``.parquet`` (columns ``path``, ``label``, ``vector``) or ``.npz`` (``vectors``, ``names``,
            ``labels``).
        device: auto, cpu, cuda or mps.
        tell: called with what is being done, how much of it is done and how much there is.

    Raises:
        UsageError: if there is no such run or data, or ``out`` has another ending.
    """
    run = Run.open(run)
    target = Path(out) if out else None
    if target and target.suffix not in (".parquet", ".npz"):
        raise UsageError(f"{target} must end in .parquet or .npz")
    if target and not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}")
    opened = open_data(data)
    spec = run.spec
    encoder = Encoder(run.backbone(), spec, devices.choose(device))
    parts = {"train": opened.train, "test": opened.test} if opened.test else {"": opened.train}
    found = [_embed_part(encoder, spec.size, part, source, tell) for part, source in parts.items() if source]
    labels = [label for part in found for label in part.labels or [""] * len(part.names)]
    result = Embedded(
        np.concatenate([part.vectors for part in found]),
        [name for part in found for name in part.names],
        labels if any(labels) else None,
    )
    if target:
        _write(result, target)
    return result


def _embed_part(encoder: Encoder, size: int, part: str, source: Source, tell: Tell | None) -> Embedded:
    """One part's vectors; its name precedes those of its images."""
    say = partial(tell, f"{part} images".strip()) if tell else None
    features = extract(source, size, {"vectors": encoder}, say)["vectors"]
    labels = None
    if source.labels is not None:
        labels = [source.classes[n] if source.classes else str(n) for n in features.labels.tolist()]
    names = [f"{part}/{source.name(i)}".lstrip("/") for i in features.index]
    return Embedded(features.values.numpy(), names, labels)


def _write(result: Embedded, path: Path) -> None:
    if path.suffix == ".npz":
        arrays = {"vectors": result.vectors, "names": np.array(result.names)}
        if result.labels is not None:
            arrays["labels"] = np.array(result.labels)
        checkpoint.write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(result.vectors.astype(np.float32).ravel())
    table = pa.table(
        {
            "path": result.names,
            "label": pa.array(result.labels or len(result.names) * [None], pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(values, result.vectors.shape[1]),
        }
    )
    checkpoint.write_atomically(path, lambda file: pq.write_table(table, file))
