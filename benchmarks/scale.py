"""What the driver of a cluster does for each photograph, in bytes and in seconds of its processor.

The photographs are made up: what they cost a worker depends on them, and is measured on real ones elsewhere.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import write

from facever.engines.manifest import result_of, tables_of, write_manifest
from facever.faces.dataset import open_dataset
from facever.faces.folders import Folder
from facever.faces.parquet import FORMAT, schema

FILES, PHOTOGRAPHS, SIZE = 30, 1024, 192


def faces(count: int, start: int, generator: np.random.Generator) -> pa.Table:
    """A face in each of so many photographs, with all that a row holds."""
    embeddings = generator.standard_normal((count, SIZE), np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows: list[dict[str, Any]] = []
    for i, embedding in enumerate(embeddings):
        row: dict[str, Any] = dict.fromkeys(("score", "face_size", "sharpness", "norm", "quality"), generator.random())
        box = generator.random(4).astype(np.float32)
        row |= {"box": box, **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))}
        row |= {"path": f"photographs/{start // 1000:06d}/{start + i:09d}.jpg", "face": 0, "embedding": embedding}
        row |= {"face_id": generator.bytes(8).hex(), "file_sha256": generator.bytes(32).hex()}
        row |= {"landmarks": generator.random(10).astype(np.float32), "width": 1024, "height": 768}
        rows.append({**row, "file_size": int(generator.integers(10**6)), "file_time": int(generator.integers(10**15))})
    return pa.Table.from_pylist(rows, schema(SIZE, {}))


def main() -> None:
    generator = np.random.default_rng(0)
    columns, count = schema(SIZE, {}), FILES * PHOTOGRAPHS
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "results").mkdir()
        for i in range(FILES):
            ids = np.arange(i * PHOTOGRAPHS, (i + 1) * PHOTOGRAPHS)
            rows = faces(PHOTOGRAPHS, i * PHOTOGRAPHS, generator)
            table = result_of(pa.chunked_array([ids]), rows, [1] * PHOTOGRAPHS)
            pq.write_table(table, work / "results" / f"{i:06d}.parquet", **FORMAT)

        def fill(out: Path) -> int:
            with open_dataset(out, work, columns, None, {}) as dataset:
                before, _ = tracemalloc.get_traced_memory()
                found = Folder([], [], [], ["s3://bucket/photograph.jpg"])
                dataset.update(found, lambda _: tables_of(work / "results", np.arange(count), columns))
                return tracemalloc.get_traced_memory()[0] - before

        start = time.process_time()
        fill(work / "timed.parquet")
        seconds = time.process_time() - start
        tracemalloc.start()
        memory = fill(work / "traced.parquet")
        tracemalloc.stop()
        start = time.process_time()
        write_manifest(work / "manifest.parquet", [f"s3://bucket/photographs/{i:09d}.jpg" for i in range(count)])
        write(
            "scale",
            {
                "what": "the driver of a cluster, a face in each photograph",
                "photographs": count,
                "manifest_per_processor_second": round(count / (time.process_time() - start)),
                "into_parts_per_processor_second": round(count / seconds),
                "memory_bytes": round(memory / count),
                "row_bytes": round(sum(p.stat().st_size for p in (work / "timed.parquet").glob("*.parquet")) / count),
            },
        )


if __name__ == "__main__":
    main()
