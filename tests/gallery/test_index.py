from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from gallery_samples import dataset, random_faces, table, unit

from facever.errors import DataError, SettingError
from facever.gallery import Gallery, index_files
from facever.gallery import index as module
from facever.gallery.faces import FaceTable
from facever.gallery.index import open_index
from facever.gallery.nearest import nearest

pytest.importorskip("usearch")


def named(vectors: np.ndarray, ids: range) -> object:
    rows = table([f"{i}.jpg" for i in ids], vectors)
    column = rows.schema.get_field_index("face_id")
    return rows.set_column(column, rows.schema.field("face_id"), [[f"{i + 1:016x}" for i in ids]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return dataset(tmp_path / "faces.parquet", named(random_faces(300, size=16), range(300)))


def test_it_finds_the_same_faces_with_exact_cosines(folder: Path) -> None:
    vectors = random_faces(300, size=16)
    indexed, exact = Gallery(FaceTable.open(folder), index=True), Gallery(FaceTable.open(folder))
    assert "300 faces added, 0 removed; recall@10 " in (indexed.index_note or "")
    assert Gallery(FaceTable.open(folder), index=True).index_note is None
    asked = unit(vectors[:20] + 0.1 * random_faces(20, 9, 16))
    for own, there in zip(indexed.search(asked, 5).faces, exact.search(asked, 5).faces, strict=True):
        assert [match.path for match in own.matches] == [match.path for match in there.matches]
        assert [match.cosine for match in own.matches] == pytest.approx([match.cosine for match in there.matches])
    assert indexed.search(asked, 1).entries == 300
    assert open_index(FaceTable.open(folder))[0].recall == 1.0


def test_a_dataset_that_changed_brings_it_up_to_date(folder: Path) -> None:
    Gallery(FaceTable.open(folder), index=True)
    vectors = random_faces(310, size=16)
    (folder / "part-000001.parquet").unlink()
    for file in (folder / ".facever.json",):
        kept = file.read_text()
    other = dataset(folder.with_name("other"), named(vectors[20:], range(20, 310)))
    (folder / ".facever.json").write_text(kept)
    (other / "part-000001.parquet").rename(folder / "part-000002.parquet")
    gallery = Gallery(FaceTable.open(folder), index=True)
    assert "10 faces added, 20 removed" in (gallery.index_note or "")
    assert gallery.search(vectors[305], 1).faces[0].matches[0].path == "305.jpg"
    assert gallery.search(vectors[3], 1).faces[0].matches[0].path != "3.jpg"
    assert Gallery(FaceTable.open(folder), index=True).index_note is None


def test_one_of_other_weights_or_damaged_is_refused_with_what_to_do(folder: Path) -> None:
    Gallery(FaceTable.open(folder), index=True)
    made = folder.with_name("faces.parquet.index") / "made.json"
    was = json.loads(made.read_text())
    made.write_text(json.dumps({**was, "weights": "f" * 64}))
    with pytest.raises(DataError, match=r"of other weights than .*; remove it, and it is built anew"):
        Gallery(FaceTable.open(folder), index=True)
    made.write_text("{")
    with pytest.raises(DataError, match="remove it, and it is built anew"):
        Gallery(FaceTable.open(folder), index=True)
    made.write_text(json.dumps(was))
    (made.parent / "graph.usearch").write_bytes(b"")
    with pytest.raises(DataError, match="remove it, and it is built anew"):
        Gallery(FaceTable.open(folder), index=True)


def test_a_damaged_graph_never_reaches_usearch(folder: Path) -> None:
    """It would follow a broken link out of its memory, and take the process with it."""
    Gallery(FaceTable.open(folder), index=True)
    for name in ("graph.usearch", "vectors.npy", "keys.npy"):
        file = folder.with_name("faces.parquet.index") / name
        whole = file.read_bytes()
        for at in (len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(DataError, match="damaged; remove it, and it is built anew"):
                Gallery(FaceTable.open(folder), index=True)
        file.write_bytes(whole)
    assert Gallery(FaceTable.open(folder), index=True).index_note is None


def test_files_that_nobody_changed_are_not_summed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder.with_name("faces.parquet.index")
    monkeypatch.setattr(index_files, "TICK", 1 << 62)
    Gallery(FaceTable.open(folder), index=True)
    Gallery(FaceTable.open(folder), index=True)
    assert not (place / "checked.json").exists()  # a change within the clock's tick could not be told
    monkeypatch.setattr(index_files, "TICK", 0)
    Gallery(FaceTable.open(folder), index=True)
    assert (place / "checked.json").stat().st_mode & 0o077 == 0

    def refuse(_: Path) -> str:
        raise AssertionError("summed again")

    with monkeypatch.context() as patch:
        patch.setattr(index_files, "sha256_of", refuse)
        assert Gallery(FaceTable.open(folder), index=True).index_note is None
    for name in ("graph.usearch", "vectors.npy", "keys.npy"):
        file = place / name
        whole, status = file.read_bytes(), file.stat()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a copy that keeps times
        with pytest.raises(DataError, match="damaged; remove it, and it is built anew"):
            Gallery(FaceTable.open(folder), index=True)
        file.write_bytes(whole)
        Gallery(FaceTable.open(folder), index=True)
    for content in ("", "{", "[" * 100_000, '{"graph.usearch": 1}'):
        (place / "checked.json").write_text(content)
        assert Gallery(FaceTable.open(folder), index=True).index_note is None


def test_more_matches_than_faces_and_many_queries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, exact = open_index(FaceTable.open(folder))[0], FaceTable.open(folder)
    asked = random_faces(7, 3, 16)
    out = {0: np.arange(300), 5: np.arange(298)}
    rows, cosines = index.nearest(asked, 310, out)
    expected, alike = nearest(asked, exact.blocks(), 310, out)
    assert (rows == expected).all()
    assert cosines == pytest.approx(alike, abs=1e-6)
    monkeypatch.setattr(module, "CELLS", 1)  # a query at a time
    again, _ = index.nearest(asked, 310, out)
    assert (again == expected).all()


def test_rows_without_a_face_have_no_place_in_it(tmp_path: Path) -> None:
    vectors: list = list(random_faces(6))
    vectors[1] = vectors[4] = None
    faces = FaceTable.open(dataset(tmp_path / "faces.parquet", table([f"{i}.jpg" for i in range(6)], vectors)))
    index = open_index(faces)[0]
    assert len(index) == 4
    rows, cosines = index.nearest(np.stack([vectors[5], vectors[2]]), 2)
    assert rows[:, 0].tolist() == [5, 2]
    assert cosines[:, 0] == pytest.approx([1, 1])


def test_what_can_not_be_indexed_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "e.npy", random_faces(3))
    (tmp_path / "e.txt").write_text("a\nb\nc")
    with pytest.raises(SettingError, match="index is for what facever embed wrote"):
        Gallery(FaceTable.open(tmp_path / "e.npy"), index=True)
    with pytest.raises(SettingError, match="index is for a search by face"):
        Gallery(FaceTable.open(folder), index=True).search(random_faces(1, size=16), by="person")

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(SettingError, match=r"pip install 'facever\[index\]'"):
        Gallery(FaceTable.open(folder), index=True)


def test_the_query_s_own_photograph_can_be_left_out(folder: Path) -> None:
    from facever.gallery.queries import Query
    from facever.gallery.search import Search

    faces = FaceTable.open(folder)
    vectors = random_faces(300, size=16)
    query = Query("q", 0, vectors[7], names=("7.jpg",))
    for index in (None, open_index(faces)[0]):
        (found,) = Search(faces, None, None, 300, None, index)([query], 3, "face", True)
        assert "7.jpg" not in [match.path for match in found.matches]
        assert len(found.matches) == 3
