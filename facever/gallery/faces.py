"""Faces as rows: what `facever embed` wrote, embeddings made elsewhere, or results in memory; read in blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facever.datasets.external import ExternalEmbeddings, names_beside
from facever.errors import DataError, reading
from facever.faces.parquet import photograph_rows, schema
from facever.faces.pipeline import PhotoResult
from facever.verifier import Verifier
from facever.weights.metadata import made_with
from facever.weights.records import WeightsId

BLOCK = 16_384
# Decoded vectors of a small dataset stay in memory between passes.
KEEP_BYTES = 1 << 31
REMEDY = "name what facever embed wrote, a folder of photographs, or a .npy, .csv or .parquet file of embeddings"

Vectors = NDArray[np.float32]
RowNumbers = NDArray[np.int64]
Block = tuple[RowNumbers, Vectors]


@dataclass(frozen=True, slots=True)
class Made:
    """How a dataset's faces were made: by which weights, and the settings in its `.facever.json`; None if unknown."""

    weights: WeightsId | None = None
    settings: dict[str, Any] | None = None


class FaceTable:
    """Faces in one order; a face's number is that of its row in all parts.

    Parameters
    ----------
    source : Path
        For messages.
    parts : sequence of Path (Parquet files) or pyarrow.Table
        With the columns `path` and `embedding`, and any others of `facever.faces.parquet`.
    made : Made
        Vectors by known weights have unit length; others are scaled to it.

    Raises
    ------
    DataError
        If a part can't be read or lacks a column.
    """

    def __init__(self, source: Path, parts: Sequence[Path | pa.Table], made: Made = Made()) -> None:
        self.source, self.parts, self.made = source, list(parts), made
        with reading(source, REMEDY):
            schemas = [_schema(part) for part in self.parts]
            absent = {"path", "embedding"} - set(schemas[0].names) if schemas else set()
            if absent:
                raise DataError(f"{source}: has no column {', '.join(sorted(absent))}; {REMEDY}")
            self.columns = set.intersection(*(set(each.names) for each in schemas)) if schemas else set()
            sizes = [_rows(part) for part in self.parts]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # of the parts, in rows
        self._kept: list[Block] | None = None
        self._faces: int | None = None

    @classmethod
    def open(cls, path: Path) -> FaceTable:
        """A dataset or file of `facever embed`, or embeddings made elsewhere (.npy with .txt, .csv, .parquet).

        Raises
        ------
        DataError
            If it can't be read, or is none of these.
        """
        with reading(path, REMEDY):
            if path.is_dir():
                settings = json.loads((path / ".facever.json").read_text(encoding="utf-8"))
                parts = sorted(path.glob("part-*.parquet"))
                return cls(path, parts, Made(WeightsId(**settings["weights"]), settings))
            if path.suffix == ".npy":
                vectors = np.load(path, mmap_mode="r", allow_pickle=False)
                return cls(path, [_table(path, names_beside(path), vectors)])
            if path.suffix == ".csv":
                external = ExternalEmbeddings.read(path)
                return cls(path, [_table(path, external.names, external.vectors)])
            found = json.loads((pq.read_schema(path).metadata or {}).get(b"facever", b"{}")).get("weights")
            made = Made(WeightsId(found["name"], found["sha256"])) if found else Made()
            return cls(path, [path], made)

    @classmethod
    def of_results(cls, source: Path, results: Iterable[PhotoResult], root: Path, verifier: Verifier) -> FaceTable:
        """Results of photographs, embedded on the spot."""
        rows = chain.from_iterable(photograph_rows(each, root, verifier.info.quality) for each in results)
        columns = schema(verifier.size, made_with(verifier.info, verifier.weights))
        made = Made(verifier.weights, {"folder": str(root.resolve())})
        return cls(source, [pa.Table.from_pylist(list(rows), columns)], made)

    @property
    def faces(self) -> int:
        """Number of faces. Raises DataError as `blocks`."""
        if self._faces is None:
            for _ in self.blocks():
                pass
        assert self._faces is not None
        return self._faces

    @cached_property
    def size(self) -> int:
        """d, the number of components of an embedding. Raises DataError as `blocks`."""
        return next(vectors.shape[1] for _, vectors in self.blocks())

    @property
    def rows(self) -> int:
        """Number of rows, those without a face among them."""
        return int(self.starts[-1])

    def blocks(self) -> Iterator[Block]:
        """Numbers (m,) and unit vectors (m, d) of all faces, in order.

        Raises
        ------
        DataError
            If there is none, or one that is damaged, zero, not finite, or of another length.
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Block] = []
        faces = used = 0
        for rows, vectors in self._read():
            faces, used = faces + len(rows), used + vectors.nbytes
            if used <= KEEP_BYTES:
                kept.append((rows, vectors))
            yield rows, vectors
        if not faces:
            raise DataError(f"{self.source}: holds no face; embed photographs that show some")
        self._faces = faces
        if used <= KEEP_BYTES:
            self._kept = kept

    def _read(self) -> Iterator[Block]:
        size = None
        with reading(self.source, "embed its photographs again; --repair of facever embed makes damaged parts anew"):
            for start, part in zip(self.starts, self.parts, strict=False):
                for batch in _batches(part, ["path", "embedding"]):
                    rows = np.arange(start, start + len(batch))
                    start += len(batch)
                    there = batch["embedding"].is_valid()
                    vectors = _matrix(batch["embedding"].filter(there))
                    if not len(vectors):
                        continue
                    if size not in (None, vectors.shape[1]):
                        raise DataError(f"{self.source}: embeddings of {size} and of {vectors.shape[1]} numbers")
                    size = vectors.shape[1]
                    names = batch["path"].filter(there)
                    yield rows[there.to_numpy(zero_copy_only=False)], self._unit(vectors, names)

    def _unit(self, vectors: Vectors, names: pa.Array) -> Vectors:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        known = self.made.weights is not None
        good = np.abs(lengths - 1) < 1e-2 if known else np.isfinite(lengths) & (lengths > 0)
        if not good.all():
            what = "not of unit length" if known else "zero or not finite"
            bad = np.flatnonzero(~good)
            raise DataError(
                f"{self.source}: {len(bad)} embeddings are {what}, the first that of {names[int(bad[0])].as_py()!r}; "
                "embed their photographs again, or leave them out"
            )
        return vectors if known else (vectors / lengths[:, None]).astype(np.float32)

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows, in memory. Raises DataError if it can't be read."""
        with reading(self.source, REMEDY):
            found = pa.chunked_array(
                [
                    chunk
                    for part in self.parts
                    for chunk in (part if isinstance(part, pa.Table) else _read(part, [name]))[name].chunks
                ],
                _schema(self.parts[0]).field(name).type,
            )
            found.validate(full=True)  # text that is none would show anywhere
            return found

    def take(self, rows: RowNumbers, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of some rows, in their order; None where there is no such column."""
        there = [name for name in names if name in self.columns]
        found: dict[int, dict[str, Any]] = {}
        wanted = np.unique(rows)
        blank = dict.fromkeys(names)
        with reading(self.source, REMEDY):
            for start, part in zip(self.starts, self.parts, strict=False):
                for first, group in _groups(part, start, wanted, there):
                    inside = wanted[(wanted >= first) & (wanted < first + len(group))]
                    values = group.take(pa.array(inside - first)).to_pylist()
                    found |= {int(row): {**blank, **value} for row, value in zip(inside, values, strict=True)}
        return [found[int(row)] for row in rows]

    def vectors(self, rows: RowNumbers) -> Vectors:
        """The unit vectors of some faces, (n, d), in their order."""
        found = np.array([row["embedding"] for row in self.take(rows, ["embedding"])], np.float32)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset of `facever embed`."""
    return (path / ".facever.json").is_file()


def _table(source: Path, names: Sequence[str], vectors: Vectors) -> pa.Table:
    if vectors.ndim != 2 or len(names) != len(vectors):
        raise DataError(f"{source}: {len(names)} names for embeddings of shape {vectors.shape}")
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    size = max(vectors.shape[1], 1)
    return pa.table({"path": pa.array(names, pa.string()), "embedding": pa.FixedSizeListArray.from_arrays(flat, size)})


def _schema(part: Path | pa.Table) -> pa.Schema:
    return part.schema if isinstance(part, pa.Table) else pq.read_schema(part)


def _rows(part: Path | pa.Table) -> int:
    return len(part) if isinstance(part, pa.Table) else int(pq.read_metadata(part).num_rows)


def _read(part: Path, names: Sequence[str]) -> pa.Table:
    return pq.read_table(part, columns=list(names), memory_map=True)


def _batches(part: Path | pa.Table, names: list[str]) -> Iterator[pa.RecordBatch]:
    if isinstance(part, pa.Table):
        yield from part.select(names).to_batches(BLOCK)
        return
    with pq.ParquetFile(part, memory_map=True) as file:
        yield from file.iter_batches(BLOCK, columns=names)


def _groups(part: Path | pa.Table, start: int, wanted: RowNumbers, names: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """The row groups of a part that hold wanted rows, each with the number of its first row."""

    def holds(first: int, count: int) -> bool:
        return bool(np.searchsorted(wanted, first + count) > np.searchsorted(wanted, first))

    if isinstance(part, pa.Table):
        if holds(start, len(part)):
            yield start, part.select(names)
        return
    with pq.ParquetFile(part, memory_map=True) as file:
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if holds(start, count):
                yield start, file.read_row_group(group, columns=names)
            start += count


def _matrix(lists: pa.Array) -> Vectors:
    """Lists of numbers as float32 (n, d). Raises ValueError if their lengths differ."""
    if not len(lists):
        return np.empty((0, 0), np.float32)
    lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(lengths) != 1:
        raise ValueError(f"embeddings of unequal length: {sorted(lengths)[:5]}")
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(lists), lengths[0])
