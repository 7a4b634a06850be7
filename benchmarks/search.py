"""Exact search of a Parquet dataset, and of an index beside it, against faiss's exact flat index.

The stored vectors are real ones with noise: `--vectors` of them, around those of a dataset that `facever embed`
wrote. Times are of a batch of queries once the vectors are read or the index is open, which `seconds_to_open` tells
(building the index included); peak memory is that of a process of its own, by its resident set.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

PART, AT, NOISE = 65_536, 10, 0.6

Found = tuple[NDArray[np.int64], float, float]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path, help="what facever embed wrote")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.parquet"
        queries = store(path, FaceTable.open(options.dataset), options.vectors, options.queries)
        rows, result = {}, {}
        for name, search in (("exact", exact), ("index", indexed), ("faiss", flat)):
            rows[name], seconds, memory, made = in_process(search, path, queries)
            result[name] = {
                "seconds": round(seconds, 3),
                "peak_megabytes": round(memory),
                "seconds_to_open": round(made, 1),
            }
        for name in ("exact", "index"):
            same = [np.isin(a, b).mean() for a, b in zip(rows["faiss"], rows[name], strict=True)]
            result[name][f"recall_at_{AT}"] = round(float(np.mean(same)), 4)
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


def exact(path: Path, queries: NDArray[np.float32]) -> Found:
    start = time.perf_counter()
    faces = FaceTable.open(path)
    nearest(queries[:1], faces.blocks(), AT)  # reads the vectors, which stay in memory
    made = time.perf_counter() - start
    start = time.perf_counter()
    rows, _ = nearest(queries, faces.blocks(), AT)
    return rows, time.perf_counter() - start, made


def indexed(path: Path, queries: NDArray[np.float32]) -> Found:
    start = time.perf_counter()
    faces = FaceTable.open(path)
    if not path.with_name(f"{path.name}.index").exists():
        open_index(faces)
        return np.empty((0, AT), np.int64), 0.0, time.perf_counter() - start
    index = open_index(faces)[0]
    made = time.perf_counter() - start
    start = time.perf_counter()
    rows, _ = index.nearest(queries, AT)
    return rows, time.perf_counter() - start, made


def flat(path: Path, queries: NDArray[np.float32]) -> Found:
    import faiss  # type: ignore[import-not-found]

    start = time.perf_counter()
    table = pq.read_table(path / "part-000001.parquet", columns=["embedding"])
    index = faiss.IndexFlatIP(table["embedding"].type.list_size)
    for part in sorted(path.glob("part-*.parquet")):
        vectors = pq.read_table(part, columns=["embedding"])["embedding"].combine_chunks().flatten().to_numpy()
        index.add(vectors.reshape(-1, index.d))
    made = time.perf_counter() - start
    start = time.perf_counter()
    rows = index.search(queries, AT)[1]
    return rows, time.perf_counter() - start, made


def in_process(
    search: Callable[[Path, NDArray[np.float32]], Found], path: Path, queries: NDArray[np.float32]
) -> tuple[NDArray[np.int64], float, float, float]:
    """Rows, seconds, peak megabytes and seconds to make; what must be made first is made in another process."""
    made = 0.0
    while True:
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            (rows, seconds, making), memory = pool.apply(_measured, (search, path, queries))
        made += making
        if len(rows):
            return rows, seconds, memory, made


def _measured(search: Callable[..., Any], path: Path, queries: NDArray[np.float32]) -> tuple[Found, float]:
    found = search(path, queries)
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
