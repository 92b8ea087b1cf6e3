"""`twofold embed`: one vector an image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twofold import checkpoint, device
from twofold.data import open_data
from twofold.errors import UsageError
from twofold.evaluation.features import Encoder, extract
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
    on: str = "auto",
    tell: Callable[[str, int, int], None] | None = None,
) -> Embedded:
    """The pretrained backbone's features of every readable image of the data's training part.

    Args:
        run: the run directory.
        data: images, with or without labels.
        out: where to write: ``.parquet`` (columns ``path``, ``label``, ``vector``) or ``.npz`` (``vectors``, ``names``,
            ``labels``).
        on: the device.
        tell: called with what is being done, how much of it is done and how much there is.

    Raises:
        UsageError: if there is no such run or data, or ``out`` has another ending.
    """
    run = Run.open(run)
    target = Path(out) if out else None
    if target and target.suffix not in (".parquet", ".npz"):
        raise UsageError(f"{target} must end in .parquet or .npz")
    source = open_data(data).train
    spec = run.spec
    encoder = Encoder(run.backbone(), spec, device.choose(on))
    say = (lambda done: tell("features", done, len(source))) if tell else None
    features = extract(source, spec.size, {"vectors": encoder}, say)["vectors"]
    labels = None
    if source.labels is not None:
        labels = [source.classes[n] if source.classes else str(n) for n in features.labels.tolist()]
    result = Embedded(features.values.numpy(), [source.name(i) for i in features.index], labels)
    if target:
        _write(result, target)
    return result


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
