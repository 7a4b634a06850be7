"""Embeddings as one Parquet file: a row per face, and per photograph without one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
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


@dataclass(slots=True)
class EmbeddingCounts:
    """Photographs in all, with a face, without one, unreadable (`undecodable` ones among them); and faces."""

    photographs: int = 0
    with_face: int = 0
    without_face: int = 0
    unreadable: int = 0
    undecodable: int = 0
    faces: int = 0


def schema(embedding_size: int) -> pa.Schema:
    """Columns of the file. All but `path` are null where they have no meaning; `error` is null for a face.

    `quality` is the norm's percentile in [0, 100] by the weights' record of quality, null where they hold none.
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
        ]
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
    metadata = {
        "facever": json.dumps({"weights": {**info.to_json(), "sha256": weights.sha256}, "versions": versions()})
    }
    columns = schema(embedding_size).with_metadata(metadata)
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as file,  # pyarrow takes names for UTF-8, or for URIs
        pq.ParquetWriter(file, columns, compression="zstd") as writer,
    ):
        rows: list[dict[str, Any]] = []
        for photograph in chain([first], photographs):
            rows += _rows(photograph, root, info.quality)
            _count(photograph, counts)
            if len(rows) >= ROWS_A_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, columns))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, columns))
    return counts


def _rows(photograph: PhotoResult, root: Path, quality: Quality | None) -> list[dict[str, Any]]:
    path = _name(photograph.source, root)
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


def _name(source: str, root: Path) -> str:
    """The path below the root."""
    path = Path(source)
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return _text(relative.as_posix())


def _text(name: str) -> str:
    """Replace bytes that are not UTF-8, which file names may hold."""
    return os.fsencode(name).decode("utf-8", "replace")


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
