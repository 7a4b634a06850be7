"""Embeddings as Parquet: a row per face, and per photograph without one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from facever.faces.folders import is_undecodable, no_photographs
from facever.faces.lines import WRITERS
from facever.faces.names import Naming, name_below
from facever.faces.pipeline import PhotoResult
from facever.files import as_text, atomic_write
from facever.weights.metadata import WeightsInfo, made_with
from facever.weights.records import Quality, WeightsId

ROWS_A_GROUP = 4096
FORMAT = {"compression": "zstd", "write_page_checksum": True}

_REAL = pa.float32()
COLUMNS = [
    ("path", pa.string(), "of the photograph, relative to the folder"),
    ("face", pa.int32(), "number of the face in its photograph, from 0, by descending score"),
    ("face_id", pa.string(), "16 hexadecimal digits; the same as long as path and content of the photograph are"),
    ("box", pa.list_(_REAL, 4), "x0, y0, x1, y1 in pixels of the upright photograph"),
    ("x0", _REAL, "left side of the box, in pixels"),
    ("y0", _REAL, "upper side of the box, in pixels"),
    ("x1", _REAL, "right side of the box, in pixels"),
    ("y1", _REAL, "lower side of the box, in pixels"),
    (
        "landmarks",
        pa.list_(_REAL, 10),
        "x, y of left eye, right eye, nose, left and right corner of the mouth as seen",
    ),
    ("score", _REAL, "the detector's probability of a face, in [0, 1]"),
    ("face_size", _REAL, "square root of the box's area, in pixels"),
    ("sharpness", _REAL, "variance of second differences without noise, in percent of the gray levels'"),
    ("noise", _REAL, "standard deviation of noise, in gray levels, in a crop of 56 pixels"),
    ("contrast", _REAL, "standard deviation of the face's gray levels"),
    ("covered", pa.list_(pa.string()), "what something covers: lower face, eye region"),
    ("upside_down", pa.bool_(), "whether the face seems to stand on its head"),
    ("norm", _REAL, "length of the feature before normalization"),
    ("quality", _REAL, "percentile of the norm, in [0, 100]; null without a calibration"),
]
FILE_COLUMNS = [
    ("error", pa.string(), "why the photograph gave no face; null in a row that holds a face"),
    ("width", pa.int32(), "of the upright photograph, in pixels"),
    ("height", pa.int32(), "of the upright photograph, in pixels"),
    ("taken", pa.timestamp("s"), "when the photograph was taken, by its camera's clock (EXIF)"),
    ("file_sha256", pa.string(), "of the photograph's file, in hexadecimal digits"),
    ("file_size", pa.int64(), "of the photograph's file, in bytes"),
    ("file_time", pa.timestamp("us", "UTC"), "when that file last changed"),
    ("warning", pa.string(), "what is missing of a photograph that was read all the same"),
]


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
    """Columns of the file, each with its description. All but `path` are null where they have no meaning.

    `file_size` and `file_time` stand only in a dataset (`facever.faces.dataset`). `made` goes into the metadata, under
    "facever".
    """
    columns = [*COLUMNS, ("embedding", pa.list_(pa.float32(), embedding_size), "of unit length"), *FILE_COLUMNS]
    fields = [pa.field(name, kind, metadata={"description": text}) for name, kind, text in columns]
    return pa.schema(fields, {"facever": json.dumps(made)})


def write_embeddings(
    path: Path,
    photographs: Iterable[PhotoResult],
    root: Path,
    info: WeightsInfo,
    weights: WeightsId,
    embedding_size: int,
    naming: Naming = name_below,
) -> EmbeddingCounts:
    """Stream results into a file, whole or not at all: CSV or JSON lines by its suffix, else Parquet.

    Parameters
    ----------
    root : Path
        The folder that the paths in the file are relative to.
    info, weights : WeightsInfo, WeightsId
        Of the weights that made the embeddings; they go into a Parquet file's metadata under "facever".
    naming : callable
        What the column `path` holds.

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
        raise no_photographs(root)
    counts = EmbeddingCounts()
    columns = schema(embedding_size, made_with(info, weights))
    writer_of: Callable[[BinaryIO, pa.Schema], Any] = WRITERS.get(path.suffix.lower(), _parquet)
    with (
        atomic_write(path, private=True) as temporary,
        temporary.open("wb") as file,  # pyarrow takes names for UTF-8, or for URIs
        writer_of(file, columns) as writer,
    ):
        rows: list[dict[str, Any]] = []
        for photograph in chain([first], photographs):
            rows += photograph_rows(photograph, root, info.quality, naming=naming)
            _count(photograph, counts)
            if len(rows) >= ROWS_A_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, columns))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, columns))
    return counts


def _parquet(file: BinaryIO, columns: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, columns, **FORMAT)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of faces, whole or not at all, for its owner only. Raises OutputError."""
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file, **FORMAT)


def photograph_rows(
    photograph: PhotoResult,
    root: Path,
    quality: Quality | None,
    stamp: tuple[int | None, int | None] = (None, None),
    naming: Naming = name_below,
) -> list[dict[str, Any]]:
    """The rows of one photograph, by column; columns that are null are left out. `stamp`: `file_size`, `file_time`."""
    path = naming(photograph.source, root)

    def told(text: str) -> str:
        return as_text(text if naming is name_below else text.replace(photograph.source, path))

    width, height = photograph.size or (None, None)
    common = {"path": path, "width": width, "height": height, "taken": photograph.taken}
    common["warning"] = told("; ".join(photograph.warnings)) if photograph.warnings else None
    common |= {"file_sha256": photograph.sha256, "file_size": stamp[0], "file_time": stamp[1]}
    rows: list[dict[str, Any]] = [
        {
            **common,
            "face": index,
            "face_id": _face_id(path, photograph.sha256, index),
            "box": found.face.box,
            **dict(zip(("x0", "y0", "x1", "y1"), found.face.box, strict=True)),
            "landmarks": found.face.landmarks.reshape(-1),
            "score": found.face.score,
            "face_size": found.face.size,
            **({} if found.looks is None else asdict(found.looks)),
            "norm": found.norm,
            "quality": None if quality is None or found.norm is None else quality.percentile(found.norm),
            "embedding": found.embedding,
        }
        for index, found in enumerate(photograph.faces)
    ]
    return rows + [{**common, "error": told(problem)} for problem in photograph.problems]


def _face_id(path: str, sha256: str | None, index: int) -> str:
    return hashlib.sha256(f"{path}\n{sha256}\n{index}".encode()).hexdigest()[:16]


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
