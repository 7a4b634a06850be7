"""Photographs on their way to a cluster, as a Parquet file of (id, path), and their rows on the way back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facever.errors import DataError, FaceverError, reading
from facever.faces.parts import stamp_of
from facever.files import atomic_write

# Rows in memory at a time, on either way.
ROWS = 16_384

MANIFEST = pa.schema(
    [
        ("id", pa.int64()),
        ("path", pa.string()),  # a URI; null for a file
        ("file", pa.binary()),  # an absolute path, in the bytes of the file system: it need not be text
        ("size", pa.int64()),
        ("time", pa.int64()),
    ]
)


class MissingRowsError(FaceverError):
    """Photographs that came back without rows: their places in the manifest, ascending."""

    def __init__(self, places: NDArray[np.int64]) -> None:
        super().__init__(f"photographs without rows: {len(places)}")
        self.places = places


def write_manifest(path: Path, photographs: Sequence[Path | str]) -> NDArray[np.int64]:
    """Write a manifest of paths and URIs. Raises OutputError.

    Returns
    -------
    ids : int64 ndarray of shape (n,)
        63 bits of a hash of path, size and time: the same as long as the photograph is, so that what a run that was
        killed had finished counts in the next one.
    """
    ids = [np.empty(0, np.int64)]
    with atomic_write(path, private=True) as temporary, pq.ParquetWriter(temporary, MANIFEST) as writer:
        for i in range(0, len(photographs), ROWS):
            rows = [_row(each) for each in photographs[i : i + ROWS]]
            table = pa.Table.from_pylist(rows, MANIFEST)
            writer.write_table(table)
            ids.append(table["id"].to_numpy())
    return np.concatenate(ids)


def _row(photograph: Path | str) -> dict[str, int | str | bytes | None]:
    if isinstance(photograph, str):
        size = time = file = None
        key = photograph.encode()
    else:
        size, time = stamp_of(photograph) or (None, None)
        key = file = os.fsencode(photograph.absolute())
    digest = hashlib.sha256(b"%b\n%a\n%a" % (key, size, time)).digest()
    uri = photograph if isinstance(photograph, str) else None
    return {"id": int.from_bytes(digest[:8]) >> 1, "path": uri, "file": file, "size": size, "time": time}


def result_of(ids: pa.ChunkedArray, rows: pa.Table, counts: Sequence[int]) -> pa.Table:
    """A row per photograph, (id, rows): the list of its rows in the dataset.

    Parameters
    ----------
    ids : int64 array of length n
    rows : Table
        Of all n photographs, in the dataset's columns.
    counts : sequence of n int
        How many of them are each photograph's.
    """
    columns = [column.combine_chunks() for column in rows.columns]
    structs = pa.StructArray.from_arrays(columns, fields=list(rows.schema))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    return pa.table([ids, pa.ListArray.from_arrays(offsets, structs)], names=["id", "rows"])


def tables_of(folder: Path, ids: NDArray[np.int64], columns: pa.Schema) -> Iterator[pa.Table]:
    """The rows in a folder of results, as tables of the dataset, each photograph once.

    Parameters
    ----------
    ids : int64 ndarray of shape (n,)
        Of the photographs that belong to them; others, which a run that was killed left, are passed over.

    Raises
    ------
    MissingRowsError
        At the end, if photographs have no rows.
    """
    order = np.argsort(ids)
    arrived = np.zeros(len(ids), np.bool_)  # in ascending order of the ids
    tables: list[pa.Table] = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            with reading(path, "run it again"):
                result = pq.read_table(path, page_checksum_verification=True)
        except DataError:  # what it held is missing below
            continue
        found, first = np.unique(result["id"].to_numpy(), return_index=True)
        at = np.searchsorted(ids, found, sorter=order).clip(max=len(ids) - 1)
        new = (ids[order[at]] == found) & ~arrived[at]
        arrived[at[new]] = True
        rows = result["rows"].take(pa.array(np.sort(first[new]))).combine_chunks().flatten()
        tables.append(pa.Table.from_arrays(rows.flatten(), schema=columns))
        if sum(map(len, tables)) >= ROWS:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)
    if not arrived.all():
        raise MissingRowsError(np.sort(order[~arrived]))
