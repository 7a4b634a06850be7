"""Exact search of a Parquet dataset, and of an index beside it, against faiss's exact flat index.

The stored vectors are real ones with noise: `--vectors` of them, around those of a dataset that `facever embed`
wrote. Each search has a process of its own, whose peak of the resident set is its memory. There it is opened (vectors
read, or the index mapped), searches for a batch of queries that others follow, `seconds_at_first`, and for five more
batches, the median of which is `seconds`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import write
from numpy.typing import NDArray

from facever.faces.parquet import FORMAT, schema
from facever.files import write_json
from facever.gallery.faces import FaceTable
from facever.gallery.index import open_index
from facever.gallery.nearest import nearest

PART, AT, NOISE, ROUNDS = 65_536, 10, 0.6, 5

Found = tuple[NDArray[np.int64], dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path, help="what facever embed wrote")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.parquet"
        queries = store(path, FaceTable.open(options.dataset), options.vectors, options.queries)
        built = in_process(build, path, queries)[1]
        rows, result = {}, {}
        for name, search in (("exact", exact), ("index", indexed), ("faiss", flat)):
            rows[name], result[name] = in_process(search, path, queries)
        result["index"] |= {f"{name}_to_build": figure for name, figure in built.items()}
        for name in ("exact", "index"):
            same = [np.isin(a, b).mean() for a, b in zip(rows["faiss"], rows[name], strict=True)]
            result[name][f"recall_at_{AT}"] = round(float(np.mean(same)), 4)
            result[name]["times_faster_than_faiss"] = round(result["faiss"]["seconds"] / result[name]["seconds"], 1)
        what = f"{options.queries} queries among {options.vectors:,} vectors, the {AT} most alike of each"
        write("search", {"what": what, "noise": NOISE, **result})


def store(path: Path, real: FaceTable, count: int, queries: int) -> NDArray[np.float32]:
    """Write vectors around real ones as a dataset; the queries, made alike."""
    generator = np.random.default_rng(0)
    centers = np.concatenate([vectors for _, vectors in real.blocks()])

    def drawn(count: int) -> NDArray[np.float32]:
        found = centers[generator.integers(0, len(centers), count)]
        noise = generator.standard_normal(found.shape, np.float32) / np.sqrt(found.shape[1], dtype=np.float32)
        found = found + NOISE * noise
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    path.mkdir()
    made = {"name": "made up", "sha256": "0" * 64}
    write_json(path / ".facever.json", {"weights": made, "folder": str(path.parent), "faces": "all"})
    columns = schema(centers.shape[1], {"weights": made})
    for number, start in enumerate(range(0, count, PART), 1):
        size = min(PART, count - start)
        values = {
            "path": [f"{i:09d}.jpg" for i in range(start, start + size)],
            "face": np.zeros(size, np.int32),
            "face_id": [f"{i + 1:016x}" for i in range(start, start + size)],
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(drawn(size).reshape(-1)), centers.shape[1]),
        }
        arrays = [pa.array(values[f.name], f.type) if f.name in values else pa.nulls(size, f.type) for f in columns]
        pq.write_table(pa.Table.from_arrays(arrays, schema=columns), path / f"part-{number:06d}.parquet", **FORMAT)
    return drawn(queries)


def build(path: Path, _: NDArray[np.float32]) -> Found:
    start = time.perf_counter()
    open_index(FaceTable.open(path))
    return np.empty((0, AT), np.int64), {"seconds": round(time.perf_counter() - start, 1)}


def exact(path: Path, queries: NDArray[np.float32]) -> Found:
    start = time.perf_counter()
    faces = FaceTable.open(path)
    nearest(queries[:1], faces.blocks(), AT)  # reads the vectors, which stay in memory
    return timed(lambda: nearest(queries, faces.blocks(), AT)[0], start)


def indexed(path: Path, queries: NDArray[np.float32]) -> Found:
    start = time.perf_counter()
    index = open_index(FaceTable.open(path))[0]
    return timed(lambda: index.nearest(queries, AT)[0], start)


def flat(path: Path, queries: NDArray[np.float32]) -> Found:
    import faiss  # type: ignore[import-not-found]

    start = time.perf_counter()
    table = pq.read_table(path / "part-000001.parquet", columns=["embedding"])
    index = faiss.IndexFlatIP(table["embedding"].type.list_size)
    for part in sorted(path.glob("part-*.parquet")):
        vectors = pq.read_table(part, columns=["embedding"])["embedding"].combine_chunks().flatten().to_numpy()
        index.add(vectors.reshape(-1, index.d))
    return timed(lambda: index.search(queries, AT)[1], start)


def timed(search: Callable[[], NDArray[np.int64]], opened_at: float) -> Found:
    """The rows, and seconds: since then, of the first batch, and the median of those that follow."""
    opening = time.perf_counter() - opened_at
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        rows = search()
        seconds.append(time.perf_counter() - start)
    return rows, {
        "seconds": round(statistics.median(seconds[1:]), 4),
        "seconds_at_first": round(seconds[0], 4),
        "seconds_to_open": round(opening, 2),
    }


def in_process(search: Callable[[Path, NDArray[np.float32]], Found], path: Path, queries: NDArray[np.float32]) -> Found:
    """What a search finds and takes in a process of its own, with its peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (search, path, queries))


def _measured(search: Callable[..., Found], path: Path, queries: NDArray[np.float32]) -> Found:
    rows, figures = search(path, queries)
    return rows, {**figures, "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


if __name__ == "__main__":
    main()
