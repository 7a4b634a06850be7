"""Parts of a dataset of embeddings: Parquet files of the rows of whole photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from facever.errors import reading
from facever.faces.parquet import write_table

REMEDY = "--repair embeds its photographs again"

Stamp = tuple[int, int]
"""Size in bytes, and time of the last change in microseconds since 1970."""


class InPart(NamedTuple):
    """A photograph: size and time of its file when it was read, its SHA-256, the number of its faces.

    One that couldn't be read has no SHA-256; one that came by a URI has no time.
    """

    stamp: Stamp | None
    sha256: str | None
    faces: int


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a photograph's file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns // 1000


def read_part(path: Path, check: bool = False) -> tuple[int, dict[str, InPart]]:
    """The number of rows, and the photographs by path; `check`: read, and check the sums of, all columns.

    Raises
    ------
    DataError
        If it is damaged.
    """
    names = ["path", "face", "file_size", "file_time", "file_sha256"]
    with reading(path, REMEDY):
        table = pq.read_table(path, columns=None if check else names, page_checksum_verification=True)
        return len(table), photographs_of(table)


def photographs_of(table: pa.Table) -> dict[str, InPart]:
    """The photographs in rows of a dataset, by path."""
    columns = [table[name].to_pylist() for name in ("path", "face", "file_size", "file_sha256")]
    rows = zip(*columns, _times(table), strict=True)
    found: dict[str, InPart] = {}
    for name, face, size, sha256, written in rows:
        stamp = None if size is None or written is None else (size, written)
        before = found[name].faces if name in found else 0
        found[name] = InPart(stamp, sha256, before + (face is not None))
    return found


def drop(path: Path, photographs: Sequence[str]) -> int:
    """Remove the rows of some photographs, and the part itself where none remain; the number of those that remain."""
    table = _table(path)
    kept = table.filter(pc.invert(pc.is_in(table["path"], pa.array(photographs, pa.string()))))
    if len(kept):
        write_table(path, kept)
    else:
        path.unlink()
    return len(kept)


def restamp(path: Path, stamps: Mapping[str, Stamp]) -> None:
    """Write new times of photographs."""
    table = _table(path)
    names = table["path"].to_pylist()
    times = [stamps[name][1] if name in stamps else time for name, time in zip(names, _times(table), strict=True)]
    column = table.schema.get_field_index("file_time")
    field = table.schema.field(column)
    write_table(path, table.set_column(column, field, pa.array(times, pa.int64()).cast(field.type)))


def merge(parts: Sequence[Path], into: Path) -> int:
    """Write the rows of several parts into a new one; their number."""
    table = pa.concat_tables([_table(path) for path in parts])
    write_table(into, table)
    return len(table)


def _table(path: Path) -> pa.Table:
    with reading(path, REMEDY):
        return pq.read_table(path, page_checksum_verification=True)


def _times(table: pa.Table) -> list[int | None]:
    times: list[int | None] = pc.cast(table["file_time"], pa.int64()).to_pylist()
    return times
