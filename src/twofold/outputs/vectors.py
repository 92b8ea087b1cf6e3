"""Vectors on the disk: pieces that outlive a kill, and the file that they become.

A piece is a Parquet file with a record in its metadata, a text of JSON. So is the whole; an ``.npy`` has the names and
labels in ``.index.csv`` and the record in ``.npy.json`` beside it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from twofold.errors import UsageError
from twofold.outputs.rows import Embedded
from twofold.storage.files import write_atomically, write_text

ENDINGS = (".parquet", ".npy")
RECORD = b"twofold"
"""The key that the record has in Parquet's metadata."""
REPEATED = {False: ["label"], True: ["path", "label", "row", "column"]}
"""Columns whose values recur, where the rows are images and where they are patches."""

Record = dict[str, Any]


def save_piece(path: Path, rows: Embedded, record: Record) -> None:
    """Write rows, of which there may be none."""
    columns = {"path": pa.array(rows.names, pa.string()), "label": pa.array(rows.labels, pa.string())}
    if rows.places is not None:
        columns |= {name: pa.array(rows.places[name]) for name in rows.places.dtype.names or ()}
    values = pa.array(np.ascontiguousarray(rows.vectors, np.float32).ravel())
    table = pa.table(columns | {"vector": pa.FixedSizeListArray.from_arrays(values, rows.vectors.shape[1])})
    write_atomically(path, lambda file: _write_parquet(file, table.schema, [table], record))


def load_piece(path: Path) -> tuple[int, Record] | None:
    """How many vectors a piece has, and its record; None if it is damaged (all of it is read, against checksums)."""
    try:
        with open(path, "rb") as opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
            return len(file.read()), json.loads(file.metadata.metadata[RECORD])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None


def assemble(target: Path, pieces: Sequence[Path], rows: int, width: int, record: Record) -> None:
    """Join pieces, ``rows`` vectors of ``width`` numbers, holding one at a time. The record is written last."""
    if target.suffix == ".parquet":
        schema = _schema(pieces[0])
        tables = map(_table, pieces)
        write_atomically(target, lambda file: _write_parquet(file, schema, tables, record))
        return
    beside(target).unlink(missing_ok=True)
    write_atomically(index(target), lambda file: _write_index(file, pieces))
    write_atomically(target, lambda file: _write_npy(file, pieces, rows, width))
    write_text(beside(target), json.dumps(record, indent=2) + "\n")


def record_of(target: Path) -> Record | None:
    """What `assemble` recorded with a whole file; None if it is not there, not whole, or not by `assemble`."""
    try:
        if target.suffix == ".parquet":
            with open(target, "rb") as file:
                record = json.loads(pq.read_metadata(file).metadata[RECORD])
        else:
            record = json.loads(beside(target).read_text(encoding="utf-8")) if target.exists() else None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return record if isinstance(record, dict) else None


class Vectors(NamedTuple):
    """What a whole file has: a name and a vector for each row, the labels of those that have one, and what it is of."""

    names: list[str]
    labels: list[str | None]
    values: np.ndarray
    of: Record


def read(path: Path) -> Vectors:
    """A file that `assemble` has written.

    Raises:
        UsageError: if it is not there, is damaged, or is no such file.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    of = (record_of(path) or {}).get("of")
    try:
        if not isinstance(of, dict) or not {"backbone", "rows"} <= of.keys():
            raise ValueError("it does not say what its vectors are of")
        if path.suffix == ".parquet":
            table = _table(path, ["path", "label", "vector"])
            values = np.stack(table["vector"].to_numpy())
        else:
            text = pyarrow.csv.ConvertOptions(
                column_types={"path": pa.string(), "label": pa.string()},
                include_columns=["path", "label"],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )
            lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
            with open(index(path), "rb") as file:
                table = pyarrow.csv.read_csv(file, parse_options=lines, convert_options=text)
            values = np.load(path)
        if len(table) != len(values):
            raise ValueError(f"{len(values)} vectors with {len(table)} names")
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is not whole, or not a file that twofold embed has written: {error}") from None
    return Vectors(table["path"].to_pylist(), table["label"].to_pylist(), values, of)


def files(target: Path) -> list[Path]:
    """All that `assemble` writes."""
    return [target] if target.suffix == ".parquet" else [index(target), target, beside(target)]


def index(target: Path) -> Path:
    """Where the names and labels of an ``.npy`` are."""
    return target.with_suffix(".index.csv")


def beside(target: Path) -> Path:
    """Where the record of an ``.npy`` is."""
    return target.with_name(target.name + ".json")


def _schema(path: Path) -> Any:
    """Arrow takes no name of a file that is not UTF-8, but an open file."""
    with open(path, "rb") as file:
        return pq.read_schema(file)


def _table(path: Path, columns: list[str] | None = None) -> Any:
    with open(path, "rb") as file:
        return pq.read_table(file, columns=columns)


def _write_parquet(file: BinaryIO, schema: Any, tables: Sequence[Any] | Iterator[Any], record: Record) -> None:
    """One row group a table."""
    repeated = REPEATED["row" in schema.names]
    with pq.ParquetWriter(file, schema, use_dictionary=repeated, write_page_checksum=True) as writer:
        for table in tables:
            if len(table):
                writer.write_table(table)
        writer.add_key_value_metadata({RECORD: json.dumps(record)})


def _write_index(file: BinaryIO, pieces: Sequence[Path]) -> None:
    """All columns but the vector, as RFC 4180 has it: texts in quotes; no label is an empty field without quotes."""
    schema = _schema(pieces[0])
    schema = schema.remove(schema.get_field_index("vector"))
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for piece in pieces:
            writer.write_table(_table(piece, schema.names))


def _write_npy(file: BinaryIO, pieces: Sequence[Path], rows: int, width: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces:
        for chunk in _table(piece, ["vector"])["vector"].chunks:
            file.write(chunk.flatten().to_numpy().astype("<f4", copy=False))
