from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gallery_samples import dataset, random_faces, table

from facever.errors import DataError
from facever.gallery import faces as module
from facever.gallery.faces import FaceTable


def all_of(faces: FaceTable) -> tuple[np.ndarray, np.ndarray]:
    rows, vectors = zip(*faces.blocks(), strict=True)
    return np.concatenate(rows), np.concatenate(vectors)


@pytest.mark.parametrize("keep", [0, 1 << 20])
def test_parts_are_one_table_and_rows_without_a_face_have_numbers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", keep)
    vectors = random_faces(14)
    first = [*vectors[:3], None, *vectors[3:8]]
    names = [f"{i}.jpg" for i in range(15)]
    path = dataset(tmp_path / "d.parquet", table(names[:9], first), table(names[9:], vectors[8:]))
    faces = FaceTable.open(path)
    for _ in range(2):
        rows, found = all_of(faces)
        assert rows.tolist() == [0, 1, 2, *range(4, 15)]
        np.testing.assert_array_equal(found, vectors)
    assert (faces.faces, faces.rows, faces.size) == (14, 15, 8)
    taken = faces.take(np.array([12, 3, 0]), ["path", "face", "person"])
    assert [row["path"] for row in taken] == ["12.jpg", "3.jpg", "0.jpg"]
    assert [row["face"] for row in taken] == [0, None, 0]
    assert taken[0]["person"] is None
    np.testing.assert_allclose(faces.vectors(np.array([14, 4])), vectors[[13, 3]], atol=1e-7)


def test_embeddings_made_elsewhere_are_scaled_in_every_form(tmp_path: Path) -> None:
    vectors = random_faces(5)
    names = [f"p/{i}.jpg" for i in range(5)]
    np.save(tmp_path / "e.npy", 3 * vectors)
    (tmp_path / "e.txt").write_text("\n".join(names))
    lists = [[float(x) for x in row] for row in 2 * vectors]
    pq.write_table(pa.table({"path": names, "embedding": lists}), tmp_path / "e.parquet")
    lines = ["path,embedding", *(f'{name},"{json.dumps(row)}"' for name, row in zip(names, lists, strict=True))]
    (tmp_path / "e.csv").write_text("\n".join([*lines, "none.jpg,"]))
    for suffix in ("npy", "parquet", "csv"):
        faces = FaceTable.open(tmp_path / f"e.{suffix}")
        np.testing.assert_allclose(all_of(faces)[1], vectors, atol=1e-6)
        assert faces.made.weights is None
        assert [row["path"] for row in faces.take(np.array([4]), ["path"])] == ["p/4.jpg"]


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (np.full(8, np.nan), "1 embeddings are not of unit length, the first that of 'b.jpg'"),
        (np.zeros(8), "not of unit length"),
        (np.full(8, 5.0), "not of unit length"),
    ],
)
def test_a_damaged_embedding_is_named(tmp_path: Path, vector: np.ndarray, says: str) -> None:
    path = dataset(tmp_path / "d", table(["a.jpg", "b.jpg"], [random_faces(1)[0], vector.astype(np.float32)]))
    with pytest.raises(DataError, match=says):
        all_of(FaceTable.open(path))


def test_elsewhere_zero_and_unequal_embeddings_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a", "b"], "embedding": [[1.0, 0.0], [0.0, 0.0]]}), tmp_path / "z.parquet")
    with pytest.raises(DataError, match="zero or not finite, the first that of 'b'"):
        all_of(FaceTable.open(tmp_path / "z.parquet"))
    pq.write_table(pa.table({"path": ["a", "b"], "embedding": [[1.0], [1.0, 0.0]]}), tmp_path / "u.parquet")
    with pytest.raises(DataError, match=r"unequal length: \[1, 2\]"):
        all_of(FaceTable.open(tmp_path / "u.parquet"))


def test_no_face_no_dataset_and_damage_are_errors_that_say_what_to_do(tmp_path: Path) -> None:
    empty = dataset(tmp_path / "empty")
    with pytest.raises(DataError, match="empty: holds no face"):
        all_of(FaceTable.open(empty))
    with pytest.raises(DataError, match="faceless: holds no face"):
        all_of(FaceTable.open(dataset(tmp_path / "faceless", table(["a.jpg"], [None]))))
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="has no column embedding; name what facever embed wrote"):
        FaceTable.open(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"text.parquet: can't be read"):
        FaceTable.open(tmp_path / "text.parquet")
    whole = dataset(tmp_path / "whole", table(["a.jpg"] * 9, random_faces(9)))
    part = whole / "part-000001.parquet"
    content = bytearray(part.read_bytes())
    content[60:400] = bytes(340)
    part.write_bytes(bytes(content))
    with pytest.raises(DataError, match="whole"):
        all_of(FaceTable.open(whole))


def test_a_path_that_is_no_text_any_more_is_damage(tmp_path: Path) -> None:
    pq.write_table(table(["a/1.jpg", "b/1.jpg"], random_faces(2)), tmp_path / "f.parquet", compression="none")
    content = (tmp_path / "f.parquet").read_bytes()
    (tmp_path / "f.parquet").write_bytes(content.replace(b"a/1.jpg", b"\x84/1.jpg"))
    with pytest.raises(DataError, match=r"f\.parquet: can't be read"):
        FaceTable.open(tmp_path / "f.parquet").column("path")
