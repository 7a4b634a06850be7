"""What is searched for: the faces of photographs, or bare embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facever.errors import DataError
from facever.faces.names import name_below
from facever.faces.pipeline import PhotoResult
from facever.gallery.faces import FaceTable, RowNumbers, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A face that is searched for.

    Attributes
    ----------
    source : str
        Its photograph, as the caller named it.
    names : tuple of str
        Paths under which the gallery may hold that photograph.
    """

    source: str
    face: int
    vector: NDArray[np.float32]
    box: list[float] | None = None
    norm: float | None = None
    names: tuple[str, ...] = ()
    sha256: str | None = None


def queries_of(results: Iterable[PhotoResult], root: Path) -> tuple[list[Query], list[str]]:
    """The faces of photographs, and why some gave none. `root` is what the gallery's paths are relative to."""
    queries, problems = [], []
    for result in results:
        problems += result.problems
        here = name_below(os.path.abspath(result.source), root)  # noqa: PTH100  (links stay)
        for index, found in enumerate(result.faces):
            assert found.embedding is not None
            box = [round(float(x), 1) for x in found.face.box]
            queries.append(
                Query(result.source, index, found.embedding, box, found.norm, (here, result.source), result.sha256)
            )
    return queries, problems


def embedding_queries(vectors: NDArray[np.floating]) -> list[Query]:
    """Bare embeddings (d,) or (n, d), scaled to unit length. Raises DataError for one that is zero or not finite."""
    found = np.atleast_2d(np.asarray(vectors, np.float64))
    lengths = np.linalg.norm(found, axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise DataError(f"{len(bad)} of {len(found)} embeddings are zero or not finite, the first is number {bad[0]}")
    return [
        Query("the embedding", index, each) for index, each in enumerate((found / lengths[:, None]).astype(np.float32))
    ]


def matrix(queries: Sequence[Query], faces: FaceTable) -> Vectors:
    """The queries' vectors, (q, d). Raises DataError if the gallery's have another length."""
    found = np.array([query.vector for query in queries], np.float32)
    if found.shape[1] != faces.size:
        raise DataError(
            f"{faces.source}: its embeddings have {faces.size} components, and the query has {found.shape[1]}; search "
            "with the weights that made it"
        )
    return found


def own_rows(queries: Sequence[Query], faces: FaceTable) -> dict[int, RowNumbers]:
    """By the index of a query: the rows of its own photograph, by path or by content, where there are any."""
    names = pa.array(sorted({name for query in queries for name in query.names}), pa.string())
    found = pc.is_in(faces.column("path"), names).to_numpy()
    if "file_sha256" in faces.columns:
        sums = pa.array(sorted({query.sha256 for query in queries if query.sha256}), pa.string())
        found = found | pc.is_in(faces.column("file_sha256"), sums).to_numpy()
    rows = np.flatnonzero(found)
    if not len(rows):
        return {}
    by: dict[str | None, list[int]] = {}
    for row, there in zip(rows.tolist(), faces.take(rows, ["path", "file_sha256"]), strict=True):
        for key in {there["path"], there["file_sha256"]}:
            by.setdefault(key, []).append(row)
    by.pop(None, None)
    own = {i: sorted({row for key in (*q.names, q.sha256) for row in by.get(key, [])}) for i, q in enumerate(queries)}
    return {i: np.array(each, np.int64) for i, each in own.items() if each}
