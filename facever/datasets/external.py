"""Embeddings made elsewhere, so that the same code evaluates any model.

A `.npy` array (n, d) with a text file of n names beside it (`embeddings.npy`, `embeddings.txt`: a name per line), or a
Parquet or CSV file with the columns `path` and `embedding`, such as `facever embed` writes; in CSV that one is JSON.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from facever.errors import DataError, check_regular, reading
from facever.faces.sources import Source


class ExternalEmbeddings:
    """Embeddings by the path of their photograph; unit length, float32 (n, d)."""

    def __init__(self, source: Path, names: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.source, self.names = source, list(names)
        self.vectors = _normalized(source, names, vectors)
        self._rows: dict[str, int] = {}
        for row, name in enumerate(names):
            self._rows.setdefault(name, row)  # the first face of a photograph with several

    @classmethod
    def read(cls, path: Path) -> ExternalEmbeddings:
        """From a `.npy`, a CSV or a Parquet file.

        Raises
        ------
        DataError
            If the file can't be read, the numbers of names and vectors differ, or a vector is zero, not finite, or of
            another length.
        """
        readers = {".npy": _read_npy, ".csv": _read_csv}
        with reading(path, "give a .npy with a .txt of names beside it, or Parquet or CSV with path and embedding"):
            names, vectors = readers.get(path.suffix, _read_parquet)(path)
            if not all(isinstance(name, str) for name in names):
                raise ValueError("a path that is not text")
        if vectors.ndim != 2 or len(names) != len(vectors):
            raise DataError(f"{path}: {len(names)} names for embeddings of shape {vectors.shape}")
        return cls(path, names, vectors)

    def of(self, photographs: Sequence[Source], root: Path) -> tuple[NDArray[np.float32], list[bool]]:
        """The embedding of each photograph, (n, d), zeros where there is none; and whether there is one.

        A photograph is looked up by its path below the root, or as given.
        """
        rows = [self._row(photograph, root) for photograph in photographs]
        found = [row is not None for row in rows]
        if not any(found):
            example = next(iter(self._rows), "none")
            raise DataError(
                f"{self.source}: holds none of the {len(rows)} photographs; its names must be paths below {root}, such "
                f"as {_below(photographs[0], root)!r} (there: {example!r})"
            )
        vectors = np.zeros((len(rows), self.vectors.shape[1]), np.float32)
        vectors[found] = self.vectors[[row for row in rows if row is not None]]
        return vectors, found

    def _row(self, photograph: Source, root: Path) -> int | None:
        below = self._rows.get(_below(photograph, root))
        return self._rows.get(str(photograph)) if below is None else below


def _below(photograph: Source, root: Path) -> str:
    if isinstance(photograph, Path) and photograph.is_relative_to(root):
        return photograph.relative_to(root).as_posix()
    return str(photograph)


def _read_npy(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may declare any size
    return names_beside(path), vectors.astype(np.float32)


def names_beside(path: Path) -> list[str]:
    """The lines of the `.txt` beside a `.npy`."""
    file = path.with_suffix(".txt")
    check_regular(file, "write a text file of names, one a line")
    return file.read_text(encoding="utf-8").splitlines()


def _read_csv(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = [(row["path"], json.loads(row["embedding"])) for row in csv.DictReader(lines) if row["embedding"]]
    return [name for name, _ in rows], _matrix([vector for _, vector in rows])


def _read_parquet(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    table = pyarrow.parquet.read_table(path, columns=["path", "embedding"])
    table = table.filter(table["embedding"].is_valid())
    return table["path"].to_pylist(), _matrix(table["embedding"].to_pylist())


def _matrix(lists: list[list[float]]) -> NDArray[np.float32]:
    lengths = {len(vector) for vector in lists}
    if len(lengths) != 1:
        raise ValueError(f"embeddings of unequal length: {sorted(lengths)[:5]}")
    return np.array(lists, np.float32)


def _normalized(source: Path, names: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise DataError(
            f"{source}: {len(bad)} embeddings are zero or not finite, the first that of {names[bad[0]]!r}; leave out "
            "photographs that gave none"
        )
    return (vectors / lengths[:, None]).astype(np.float32)
