"""An approximate index beside a dataset, for searches that read a part of it only; needs the extra `index` (usearch).

    faces.parquet.index/
      vectors.usearch   HNSW graph of the embeddings, memory-mapped; a face's key is its `face_id`
      keys.npy          the key of each row of the dataset, 0 in rows without a face
      made.json         weights, state of the dataset, recall, SHA-256 of the other two: usearch trusts its file

Candidates are compared exactly by the dataset's own vectors, so cosines are those of an exact search; a face that the
graph misses is missing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facever.caches import private_folder
from facever.errors import DataError, OutputError, SettingError, reading, reason_of
from facever.files import sha256_of, write_json
from facever.gallery.faces import BLOCK, FaceTable, RowNumbers, Vectors
from facever.gallery.nearest import nearest

FORMAT = 2
GRAPH, KEYS = "vectors.usearch", "keys.npy"
# Candidates of each query, for every match that is asked for; and at the least.
CANDIDATES, LEAST = 8, 64
RECALL_FACES, RECALL_AT = 100, 10

Keys = NDArray[np.uint64]


class FaceIndex:
    """An index that is open for searches; see `open_index`."""

    def __init__(self, faces: FaceTable, graph: Any, keys: Keys, recall: float) -> None:
        self.faces, self.graph, self.recall = faces, graph, recall
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]

    def __len__(self) -> int:
        return len(self.graph)

    def nearest(
        self, queries: Vectors, k: int, excluded: Mapping[int, RowNumbers] | None = None
    ) -> tuple[RowNumbers, NDArray[np.float32]]:
        """As `facever.gallery.nearest.nearest`, among the candidates of each query."""
        excluded = excluded or {}
        most = max((len(rows) for rows in excluded.values()), default=0)
        count = min(max(CANDIDATES * k, LEAST) + most, len(self.graph))
        found = np.atleast_2d(self.graph.search(queries, count).keys)
        wanted = np.unique(self._rows[np.searchsorted(self._keys, np.unique(found))])
        vectors = self.faces.vectors(wanted)
        rows = np.full((len(queries), k), -1, np.int64)
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        for i, own in enumerate(found):
            mine = np.sort(self._rows[np.searchsorted(self._keys, own)])
            blocks = [(mine, vectors[np.searchsorted(wanted, mine)])]
            out = {0: excluded[i]} if i in excluded else None
            rows[i : i + 1], cosines[i : i + 1] = nearest(queries[i : i + 1], blocks, k, out)
        return rows, cosines


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
    graph, was = None, {}
    if folder.exists():
        with reading(folder, "remove it, and it is built anew"):
            was = dict(json.loads((folder / "made.json").read_text(encoding="utf-8")))
            if was.get("format") != FORMAT:
                raise DataError(f"{folder}: of another facever; remove it, and it is built anew")
            if was["weights"] != weights.sha256 or was["size"] != faces.size:
                raise DataError(f"{folder}: of other weights than {faces.source}; remove it, and it is built anew")
            current = was["dataset"] == made["dataset"]
            if any(sha256_of(folder / name) != was[name] for name in (GRAPH, KEYS)):
                raise DataError(f"{folder}: damaged; remove it, and it is built anew")
            graph = usearch.Index.restore(str(folder / GRAPH), view=current)
            if graph is None:
                raise DataError(f"{folder}: no index; remove it, and it is built anew")
            if current:
                return FaceIndex(faces, graph, np.load(folder / KEYS, mmap_mode="r"), was["recall"]), None
    if graph is None:
        graph = usearch.Index(ndim=faces.size, metric="ip", dtype="f16")
    added, removed, keys = _update(graph, faces)
    recall = _recall(FaceIndex(faces, graph, keys, 0.0), faces)
    _write(folder, graph, keys, {**made, "recall": recall})
    done = f"{folder}: {added:,} faces added, {removed:,} removed; recall@{RECALL_AT} {recall:.3f}"
    return FaceIndex(faces, graph, keys, recall), done


def _update(graph: Any, faces: FaceTable) -> tuple[int, int, Keys]:
    """Add the faces that the graph lacks, remove those that are gone; the key of each row."""
    keys = _keys(faces)
    there = np.asarray(graph.keys, np.uint64) if len(graph) else np.empty(0, np.uint64)
    gone = np.setdiff1d(there, keys)
    if len(gone):
        graph.remove(gone)
    added = 0
    for rows, vectors in faces.blocks():
        new = ~np.isin(keys[rows], there)
        for start in range(0, int(new.sum()), BLOCK):
            graph.add(keys[rows][new][start : start + BLOCK], vectors[new][start : start + BLOCK])
        added += int(new.sum())
    return added, len(gone), keys


def _keys(faces: FaceTable) -> Keys:
    """The `face_id` of each row as a number; 0 where there is none. Raises DataError if two faces share one."""
    ids = faces.column("face_id").fill_null("0" * 16).to_pylist()
    keys = np.frombuffer(bytes.fromhex("".join(ids)), ">u8").astype(np.uint64)
    known = keys[keys > 0]
    if len(np.unique(known)) != len(known):
        raise DataError(f"{faces.source}: two faces with one face_id; embed it again")
    return keys


def _recall(index: FaceIndex, faces: FaceTable) -> float:
    """The share of the ten most alike faces that the index finds, for faces of the dataset."""
    rows = np.concatenate([rows for rows, _ in faces.blocks()])
    asked = faces.vectors(np.sort(np.random.default_rng(0).choice(rows, min(RECALL_FACES, len(rows)), replace=False)))
    k = min(RECALL_AT, len(rows))
    exact, found = nearest(asked, faces.blocks(), k)[0], index.nearest(asked, k)[0]
    return float(np.mean([np.isin(own, there).mean() for own, there in zip(exact, found, strict=True)]))


def _state(faces: FaceTable) -> str:
    """A hash that changes whenever a part of the dataset does."""
    found = hashlib.sha256()
    for part in faces.parts:
        assert isinstance(part, Path)
        status = part.stat()
        found.update(f"{part.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _write(folder: Path, graph: Any, keys: Keys, made: dict[str, Any]) -> None:
    """Write the folder, whole or not at all."""
    temporary = None
    try:
        temporary = private_folder(Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)))
        graph.save(str(temporary / GRAPH))
        np.save(temporary / KEYS, keys)
        sums = {name: sha256_of(temporary / name) for name in (GRAPH, KEYS)}
        write_json(temporary / "made.json", {**made, **sums})
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except (OSError, RuntimeError) as error:  # the latter is usearch's
        raise OutputError(f"{folder}: can't be written ({reason_of(error)}); free its place") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
