"""An approximate index beside a dataset, for searches that read a part of it only; needs the extra `index` (usearch).

    faces.parquet.index/
      graph.usearch   HNSW graph of the embeddings in half precision; a face's key is its `face_id`
      vectors.npy     the embeddings in single precision, (n, d)
      keys.npy        (3, n): keys in order, the number of each one's vector, and of its row in the dataset
      made.json       weights, state of the dataset, recall, expansion, SHA-256 of the other three
      checked.json    what those files were when their sums were last compared; see `facever.gallery.index_files`

All three are mapped into memory, and a search touches little of them. Candidates from the graph are compared exactly,
by the vectors, so cosines are those of an exact search; a face that the graph misses is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facever.errors import DataError, SettingError, reading
from facever.gallery.faces import BLOCK, FaceTable, RowNumbers, Vectors
from facever.gallery.index_files import GRAPH, KEYS, REMEDY, VECTORS, check_index, read_made, replacing, write_vectors
from facever.gallery.nearest import CELLS, nearest

FORMAT = 3
# Candidates of each query, for every match that is asked for, and at the least: half precision changes their order.
CANDIDATES, LEAST = 2, 32
# Nodes of the graph that a search keeps in view: the fewest of these that find so much of the ten most alike faces.
EXPANSIONS, RECALL, RECALL_AT = (128, 192, 256, 384, 512, 1024), 0.995, 10
# Queries like other photographs of faces in the dataset: their vectors with noise of this length.
QUERIES, NOISE = 200, 0.6

Keys = NDArray[np.uint64]


@dataclass(slots=True)
class FaceIndex:
    """An index that is open for searches; see `open_index`.

    Attributes
    ----------
    graph : usearch.index.Index
    keys : uint64 ndarray of shape (3, n)
        The keys in order, and for each the number of its vector and of its row.
    vectors : float32 ndarray of shape (n, d), of unit length
    recall : float
        The share of the ten most alike faces that it finds, as measured when it was built.
    """

    graph: Any
    keys: Keys
    vectors: Vectors
    recall: float = 0.0

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, queries: Vectors, k: int, excluded: Mapping[int, RowNumbers] | None = None
    ) -> tuple[RowNumbers, NDArray[np.float32]]:
        """As `facever.gallery.nearest.nearest`, among the candidates of each query."""
        excluded = excluded or {}
        most = max((len(rows) for rows in excluded.values()), default=0)
        count = min(max(CANDIDATES * k, LEAST) + most, len(self))
        rows = np.full((len(queries), k), -1, np.int64)
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        step = max(1, CELLS // (count * self.vectors.shape[1]))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            found, alike = self._candidates(queries[part], count)
            for query, out in excluded.items():
                if start <= query < start + step:
                    alike[query - start, np.isin(found[query - start], out)] = -np.inf
            order = np.lexsort((found, -alike), axis=1)[:, :k]
            best = np.take_along_axis(alike, order, axis=1)
            cosines[part, : order.shape[1]] = best
            rows[part, : order.shape[1]] = np.where(np.isfinite(best), np.take_along_axis(found, order, axis=1), -1)
        return rows, cosines

    def _candidates(self, queries: Vectors, count: int) -> tuple[RowNumbers, NDArray[np.float32]]:
        """Rows (q, c) and exact cosines of the candidates; -inf where there are fewer."""
        found = np.asarray(np.atleast_2d(self.graph.search(queries, count).keys), np.uint64)
        places = np.minimum(np.searchsorted(self.keys[0], found), len(self) - 1)
        there = self.keys[0][places] == found
        vectors = self.vectors[self.keys[1][places].astype(np.int64)]  # (q, c, d)
        cosines = np.clip(np.matmul(vectors, queries[:, :, None])[..., 0], -1.0, 1.0)
        return self.keys[2][places].astype(np.int64), np.where(there, cosines, np.float32(-np.inf))


def open_index(faces: FaceTable) -> tuple[FaceIndex, str | None]:
    """The index of a dataset, built where there is none, and brought up to date where the dataset changed since.

    The second value says what was done; None for an index that was up to date.

    Raises
    ------
    SettingError
        Without usearch, or for embeddings that `facever embed` did not write.
    DataError
        If the index is damaged, or of other weights.
    OutputError
        If it can't be written.
    """
    try:
        usearch = import_module("usearch.index")
    except ImportError:
        raise SettingError("needs usearch: pip install 'facever[index]'", "index") from None
    weights = faces.made.weights
    if weights is None or "face_id" not in faces.columns or any(isinstance(part, pa.Table) for part in faces.parts):
        raise SettingError("is for what facever embed wrote as Parquet; embed the photographs first", "index")
    folder = faces.source.with_name(f"{faces.source.name}.index")
    made = {"format": FORMAT, "weights": weights.sha256, "dataset": _state(faces), "size": faces.size}
    graph = None
    if folder.exists():
        was = read_made(folder, FORMAT)
        if was["weights"] != weights.sha256 or was["size"] != faces.size:
            raise DataError(f"{folder}: of other weights than {faces.source}; {REMEDY}")
        check_index(folder, was)
        if was["dataset"] == made["dataset"]:
            return _opened(usearch, folder, was), None
        with reading(folder, REMEDY):
            graph = usearch.Index.restore(str(folder / GRAPH))
    if graph is None:
        graph = usearch.Index(ndim=faces.size, metric="ip", dtype="f16")
    added, removed, keys = _update(graph, faces)
    with replacing(folder, graph, keys) as (place, finish):
        write_vectors(place / VECTORS, faces, int(keys.shape[1]))
        index = FaceIndex(graph, keys, np.load(place / VECTORS, mmap_mode="r"))
        expansion, recall = _expansion(index, faces)
        del index
        finish({**made, "recall": recall, "expansion": expansion})
    done = f"{folder}: {added:,} faces added, {removed:,} removed; recall@{RECALL_AT} {recall:.3f}"
    return _opened(usearch, folder, {"recall": recall, "expansion": expansion}), done


def _opened(usearch: Any, folder: Path, made: Mapping[str, Any]) -> FaceIndex:
    with reading(folder, REMEDY):
        graph = usearch.Index.restore(str(folder / GRAPH), view=True, enable_key_lookups=False)
        keys, vectors = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (KEYS, VECTORS))
        if graph is None or keys.shape != (3, len(vectors)) or len(graph) != len(vectors):
            raise DataError(f"{folder}: its files are not of one index; {REMEDY}")
        graph.expansion_search = min(max(int(made["expansion"]), 1), EXPANSIONS[-1])
        return FaceIndex(graph, keys, vectors, float(made["recall"]))


def _update(graph: Any, faces: FaceTable) -> tuple[int, int, Keys]:
    """Add the faces that the graph lacks, remove those that are gone; the keys as in `FaceIndex`."""
    ids = _ids(faces)
    there = np.asarray(graph.keys, np.uint64) if len(graph) else np.empty(0, np.uint64)
    gone = np.setdiff1d(there, ids)
    if len(gone):
        graph.remove(gone)
    added = 0
    numbers = []
    for rows, vectors in faces.blocks():
        numbers.append(rows)
        new = ~np.isin(ids[rows], there)
        for start in range(0, int(new.sum()), BLOCK):
            graph.add(ids[rows][new][start : start + BLOCK], vectors[new][start : start + BLOCK])
        added += int(new.sum())
    rows = np.concatenate(numbers)
    order = np.argsort(ids[rows], kind="stable")
    return added, len(gone), np.stack([ids[rows][order], order.astype(np.uint64), rows[order].astype(np.uint64)])


def _ids(faces: FaceTable) -> Keys:
    """The `face_id` of each row as a number; 0 where there is none. Raises DataError if two faces share one."""
    ids = faces.column("face_id").fill_null("0" * 16).to_pylist()
    keys = np.frombuffer(bytes.fromhex("".join(ids)), ">u8").astype(np.uint64)
    known = keys[keys > 0]
    if len(np.unique(known)) != len(known):
        raise DataError(f"{faces.source}: two faces with one face_id; embed it again")
    return keys


def _expansion(index: FaceIndex, faces: FaceTable) -> tuple[int, float]:
    """The least expansion that finds enough of the most alike faces, and the share that it finds."""
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.choice(len(index), min(QUERIES, len(index)), replace=False))
    noise = generator.standard_normal((len(chosen), index.vectors.shape[1]))
    asked = index.vectors[chosen] + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    k = min(RECALL_AT, len(index))
    exact = nearest(asked, faces.blocks(), k)[0]
    recall = 0.0
    for expansion in EXPANSIONS:
        index.graph.expansion_search = expansion
        found = index.nearest(asked, k)[0]
        recall = float(np.mean([np.isin(own, there).mean() for own, there in zip(exact, found, strict=True)]))
        if recall >= RECALL:
            break
    return expansion, recall


def _state(faces: FaceTable) -> str:
    """A hash that changes whenever a part of the dataset does."""
    found = hashlib.sha256()
    for part in faces.parts:
        assert isinstance(part, Path)
        status = part.stat()
        found.update(f"{part.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()
