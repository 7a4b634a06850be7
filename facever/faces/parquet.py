"""Embeddings as Parquet: a row per face, and per photograph without one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facever.errors import DataError
from facever.faces.pipeline import PhotoResult
from facever.faces.sources import is_undecodable
from facever.files import atomic_write
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Quality, WeightsId

ROWS_A_GROUP = 4096
FORMAT = {"compression": "zstd", "write_page_checksum": True}


@dataclass(slots=True)
class EmbeddingCounts:
    """Photographs in all, with a face, without one, unreadable (`undecodable` ones among them); and faces."""

    photographs: int = 0
    with_face: int = 0
    without_face: int = 0
    unreadable: int = 0
    undecodable: int = 0
    faces: int = 0


def schema(embedding_size: int, made: Mapping[str, Any]) -> pa.Schema:
    """Columns of the file. All but `path` are null where they have no meaning; `error` is null for a face.

    `quality` is the norm's percentile in [0, 100] by the weights' record of quality, null where they hold none.
    `file_size` (bytes) and `file_time` (of its last change) are the photograph's, and stand only in a dataset
    (`facever.faces.dataset`), for photographs that could be read. `made` goes into the metadata, under "facever".
    """
    return pa.schema(
        [
            ("path", pa.string()),
            ("face", pa.int32()),
            ("box", pa.list_(pa.float32(), 4)),
            ("landmarks", pa.list_(pa.float32(), 10)),
            ("score", pa.float32()),
            ("norm", pa.float32()),
            ("quality", pa.float32()),
            ("embedding", pa.list_(pa.float32(), embedding_size)),
            ("error", pa.string()),
            ("file_size", pa.int64()),
            ("file_time", pa.timestamp("us", "UTC")),
        ],
        {"facever": json.dumps(made)},
    )


def write_embeddings(
    path: Path,
    photographs: Iterable[PhotoResult],
    root: Path,
    info: WeightsInfo,
    weights: WeightsId,
    embedding_size: int,
) -> EmbeddingCounts:
    """Stream results into a Parquet file, whole or not at all.

    Parameters
    ----------
    root : Path
        The folder that the paths in the file are relative to.
    info, weights : WeightsInfo, WeightsId
        Of the weights that made the embeddings; they go into the file's metadata under "facever".

    Raises
    ------
    DataError
        If there was no photograph.
    OutputError
        If the file can't be written.
    """
    photographs = iter(photographs)
    first = next(photographs, None)
    if first is None:
        raise DataError(f"{root}: no photographs in it; name a folder that holds some")
    counts = EmbeddingCounts()
    columns = schema(embedding_size, made_with(info, weights))
    with (
        atomic_write(path, private=True) as temporary,
        temporary.open("wb") as file,  # pyarrow takes names for UTF-8, or for URIs
        pq.ParquetWriter(file, columns, **FORMAT) as writer,
    ):
        rows: list[dict[str, Any]] = []
        for photograph in chain([first], photographs):
            rows += photograph_rows(photograph, root, info.quality)
            _count(photograph, counts)
            if len(rows) >= ROWS_A_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, columns))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, columns))
    return counts


def made_with(info: WeightsInfo, weights: WeightsId) -> dict[str, Any]:
    """What a reader should know of a file's embeddings: the weights and the versions of software."""
    return {"weights": {**info.to_json(), "sha256": weights.sha256}, "versions": versions()}


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of faces, whole or not at all, for its owner only. Raises OutputError."""
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file, **FORMAT)


def photograph_rows(photograph: PhotoResult, root: Path, quality: Quality | None) -> list[dict[str, Any]]:
    """The rows of one photograph, by column; columns that are null are left out."""
    path = name_below(photograph.source, root)
    rows: list[dict[str, Any]] = [
        {
            "path": path,
            "face": index,
            "box": found.face.box,
            "landmarks": found.face.landmarks.reshape(-1),
            "score": found.face.score,
            "norm": found.norm,
            "quality": None if quality is None or found.norm is None else quality.percentile(found.norm),
            "embedding": found.embedding,
        }
        for index, found in enumerate(photograph.faces)
    ]
    return rows + [{"path": path, "error": _text(problem)} for problem in photograph.problems]


def name_below(source: str, root: Path) -> str:
    """The name of a photograph in the table: its path below the root."""
    path = Path(source)
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return _text(relative.as_posix())


def _text(name: str) -> str:
    r"""Write bytes that are not UTF-8, which file names may hold, as \udcXX: two names stay two."""
    return name.encode("utf-8", "backslashreplace").decode()


def _count(photograph: PhotoResult, counts: EmbeddingCounts) -> None:
    counts.photographs += 1
    counts.faces += len(photograph.faces)
    if photograph.faces:
        counts.with_face += 1
    elif photograph.readable:
        counts.without_face += 1
    else:
        counts.unreadable += 1
        counts.undecodable += is_undecodable(Path(photograph.source))
