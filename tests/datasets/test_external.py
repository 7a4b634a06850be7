from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from facever.datasets.external import ExternalEmbeddings
from facever.errors import DataError
from facever.faces.sources import ImageBytes

VECTORS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
UNIT = [[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]
NAMES = ["ann/1.jpg", "ann/2.jpg", "set.bin[0]"]


def as_npy(folder: Path, vectors: np.ndarray = VECTORS, names: list[str] = NAMES) -> Path:
    np.save(folder / "e.npy", vectors)
    (folder / "e.txt").write_text("\n".join(names) + "\n")
    return folder / "e.npy"


def as_parquet(folder: Path) -> Path:
    table = pa.table({"path": [*NAMES, "broken.jpg"], "embedding": [*VECTORS.tolist(), None]})
    pyarrow.parquet.write_table(table, folder / "e.parquet")
    return folder / "e.parquet"


@pytest.mark.parametrize("write", [as_npy, as_parquet])
def test_embeddings_are_found_by_path_below_the_root_and_made_unit_length(tmp_path: Path, write) -> None:
    foreign = ExternalEmbeddings.read(write(tmp_path))
    root = tmp_path / "lfw"
    vectors, found = foreign.of([root / "ann/2.jpg", ImageBytes("set.bin[0]", b""), root / "none.jpg"], root)
    assert found == [True, True, False]
    np.testing.assert_allclose(vectors[:2], [UNIT[1], UNIT[2]])


def test_of_several_faces_of_a_photograph_the_first_counts(tmp_path: Path) -> None:
    foreign = ExternalEmbeddings.read(as_npy(tmp_path, names=["a", "a", "b"]))
    np.testing.assert_allclose(foreign.of([Path("a")], tmp_path)[0], [UNIT[0]])


def test_names_that_fit_no_photograph_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 1 photographs.*'ann/1\.jpg'"):
        ExternalEmbeddings.read(as_npy(tmp_path)).of([tmp_path / "x.jpg"], tmp_path)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_that_are_zero_or_not_finite_are_named(tmp_path: Path, value: float) -> None:
    vectors = VECTORS.copy()
    vectors[1] = value
    with pytest.raises(DataError, match=r"1 embeddings are zero or not finite.*ann/2\.jpg"):
        ExternalEmbeddings.read(as_npy(tmp_path, vectors))


def test_names_and_vectors_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 names for embeddings"):
        ExternalEmbeddings.read(as_npy(tmp_path, names=NAMES[:2]))


def test_vectors_of_unequal_length_are_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(
        pa.table({"path": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]}), tmp_path / "e.parquet"
    )
    with pytest.raises(DataError, match="unequal length"):
        ExternalEmbeddings.read(tmp_path / "e.parquet")


def test_files_that_hold_no_embeddings_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_text("text")
    np.save(tmp_path / "alone.npy", VECTORS)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("e.parquet", "alone.npy", "objects.npy", "none.npy"):
        with pytest.raises(DataError, match=name):
            ExternalEmbeddings.read(tmp_path / name)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"path": [b"\xff"], "embedding": [[1.0]]}, "a path that is not text"),
        ({"path": [None], "embedding": [[1.0]]}, "a path that is not text"),
        ({"path": ["a"], "embedding": [1]}, "can't be read"),
        ({"path": ["a"], "embedding": [{"x": 1.0}]}, "can't be read"),
        ({"path": ["a"], "embedding": [[[1.0]]]}, "shape"),
        ({"path": ["a"], "embedding": [["x"]]}, "can't be read"),
    ],
)
def test_columns_of_other_types_are_refused(tmp_path: Path, columns: dict[str, list[object]], says: str) -> None:
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "e.parquet")
    with pytest.raises(DataError, match=rf"e\.parquet: .*{says}"):
        ExternalEmbeddings.read(tmp_path / "e.parquet")


def test_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("a\n")
    np.savez(tmp_path / "e.npz", VECTORS)
    (tmp_path / "e.npz").rename(tmp_path / "e.npy")
    with pytest.raises(DataError, match=r"e\.npy: can't be read"):
        ExternalEmbeddings.read(tmp_path / "e.npy")
    for array in (np.array([{}]), np.zeros(1, [("x", float)]), np.array(["text"])):
        np.save(tmp_path / "e.npy", array)
        with pytest.raises(DataError, match=r"e\.npy: "):
            ExternalEmbeddings.read(tmp_path / "e.npy")


def test_a_header_that_declares_terabytes_is_refused_without_allocating_them(tmp_path: Path) -> None:
    path = as_npy(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"'shape': (3, 2), }        ", b"'shape': (9999999999, 2), }"))
    assert b"9999999999" in path.read_bytes()
    with pytest.raises(DataError, match=r"e\.npy: can't be read"):
        ExternalEmbeddings.read(path)
