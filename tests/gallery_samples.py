"""Made-up faces in datasets, for tests of searches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facever.faces.parquet import schema

SIZE = 8
MADE = {"weights": {"name": "some", "sha256": "0" * 64}}


def unit(vectors: np.ndarray) -> np.ndarray:
    found = np.atleast_2d(vectors).astype(np.float64)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def random_faces(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, size)))


def table(names: list[str], vectors: np.ndarray | list, **columns: list) -> pa.Table:
    """Rows of faces; a vector of None is a photograph without one."""
    rows = []
    seen: dict[str, int] = {}
    for i, (name, vector) in enumerate(zip(names, vectors, strict=True)):
        row: dict = {"path": name, "file_sha256": f"{name}'s", "width": 100, "height": 100}
        if vector is None:
            rows.append({**row, "error": f"{name}: no face found"})
            continue
        face = seen[name] = seen.get(name, -1) + 1
        box = dict(zip(("x0", "y0", "x1", "y1"), (40.0, 40.0, 60.0, 60.0), strict=True))
        row |= {"face": face, "face_id": f"{i:016x}", "box": list(box.values()), **box, "norm": 1.0}
        rows.append({**row, "embedding": vector, **{key: values[i] for key, values in columns.items()}})
    size = next((len(vector) for vector in vectors if vector is not None), SIZE)
    return pa.Table.from_pylist(rows, schema(size, MADE))


def dataset(folder: Path, *parts: pa.Table, weights: dict | None = None) -> Path:
    """A dataset as `facever embed` writes it."""
    folder.mkdir()
    made = {"weights": weights or MADE["weights"], "folder": str(folder.parent), "faces": "all"}
    (folder / ".facever.json").write_text(json.dumps({**made, "min_face": "3%", "mirror": True}))
    for i, part in enumerate(parts, 1):
        pq.write_table(part, folder / f"part-{i:06d}.parquet", row_group_size=5)
    return folder


def crowd(counts: list[int], seed: int = 0, size: int = 64, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of people with so many faces each, cosines of about 1 / (1 + spread ** 2) within; and who is who."""
    generator = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(counts)), counts)
    centers = unit(generator.normal(size=(len(counts), size)))
    return unit(centers[who] + spread * generator.normal(size=(len(who), size)) / np.sqrt(size)), who
