from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from gallery_samples import dataset, random_faces, table, unit

from facever.errors import DataError, SettingError, WeightsError
from facever.gallery import Gallery
from facever.gallery.faces import FaceTable
from facever.gallery.people import names_by_folder, names_by_list, templates
from facever.gallery.queries import Query
from facever.gallery.rates import fmr_of
from facever.gallery.search import Search
from facever.weights.file import read_info
from facever.weights.records import Likelihood
from facever.weights.tails import Tail

TAIL = Tail(0.35, 0.01, -0.12, 0.05, "them", 10**6, 400, ((1e-2, 5e-3, 2e-2), (1e-8, 0.0, 1e-8)))


def gallery(tmp_path: Path, names: list[str], vectors: np.ndarray, people: Path | None = None) -> Gallery:
    return Gallery(FaceTable.open(dataset(tmp_path / "faces.parquet", table(names, vectors))), None, people)


def test_the_most_alike_faces_with_what_is_known_of_them(tmp_path: Path) -> None:
    vectors = random_faces(30)
    found = gallery(tmp_path, [f"{i}.jpg" for i in range(30)], vectors).search(7.0 * vectors[4], k=3)
    (face,) = found.faces
    order = np.argsort(-(vectors @ vectors[4]))[:3]
    assert [match.path for match in face.matches] == [f"{i}.jpg" for i in order]
    best = face.matches[0]
    assert best.cosine == pytest.approx(1, abs=1e-6)
    assert (best.face, best.box, best.face_id) == (0, [40, 40, 60, 60], f"{4:016x}")
    assert (best.same, best.probability, best.duplicate, best.person) == (None, None, None, None)
    assert (found.entries, found.prior, found.threshold, found.by) == (30, 1 / 31, None, "face")
    assert "nothing is decided" in found.notes[0]


def test_one_face_and_fewer_faces_than_asked_for(tmp_path: Path) -> None:
    found = gallery(tmp_path, ["a.jpg"], random_faces(1)).search(random_faces(2, 1), k=5, threshold=-1.0)
    assert [[match.path for match in face.matches] for face in found.faces] == [["a.jpg"], ["a.jpg"]]
    assert found.faces[1].matches[0].same is True


@pytest.mark.parametrize("bad", [np.zeros(8), np.full(8, np.nan), np.array([[1.0] * 8, [math.inf] * 8])])
def test_an_embedding_without_a_direction_is_refused(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(DataError, match="zero or not finite"):
        gallery(tmp_path, ["a.jpg"], random_faces(1)).search(bad)


def test_an_embedding_of_another_space_is_refused_by_its_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"faces.parquet: its embeddings have 8 components, and the query has 9"):
        gallery(tmp_path, ["a.jpg"], random_faces(1)).search(np.ones(9))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"k": 0}, "k is a number"),
        ({"by": "name"}, "by is face or person"),
        ({"fpir": 0.0}, "fpir is a rate"),
        ({"threshold": 2.0}, "threshold is a cosine"),
        ({"threshold": 0.5, "fpir": 0.1}, "give one of the two"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        gallery(tmp_path, ["a.jpg"], random_faces(1)).search(random_faces(1), **settings)


def test_a_rate_for_embeddings_made_elsewhere_is_refused_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give --weights, or --threshold"):
        gallery(tmp_path, ["a.jpg"], random_faces(1)).search(random_faces(1), fpir=0.1)


def test_the_threshold_keeps_the_rate_among_so_many_and_the_prior_follows_from_them() -> None:
    assert 1 - (1 - fmr_of(0.01, 500)) ** 500 == pytest.approx(0.01)
    line = Likelihood(20.0, -7.0, 0.1, 0.1, "them", 100, 100)
    info = replace(read_info("default"), tail=TAIL, likelihood=line, thresholds=[])
    vectors = random_faces(500)
    faces = FaceTable(Path("here"), [table([f"{i}.jpg" for i in range(500)], vectors)])
    threshold = info.search_threshold(fmr_of(0.01, 500))
    assert TAIL.rate * (1 - 0.12 * (threshold - 0.35) / 0.05) ** (1 / 0.12) == pytest.approx(fmr_of(0.01, 500))
    (found,) = Search(faces, None, info, 500, threshold)([Query("q", 0, vectors[0])], 5, "face", False)
    for match in found.matches:
        odds = math.exp(20 * match.cosine - 7) / 500
        assert match.probability == pytest.approx(odds / (1 + odds))
        assert match.same == (match.cosine >= threshold)


FOLDERS = ["Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg", "Bob/1.jpg", "Eve/deep/1.jpg", "loose.jpg"]


def test_folders_are_people_and_of_several_faces_the_central_one_counts(tmp_path: Path) -> None:
    rows = table(FOLDERS, random_faces(6))
    x0 = rows["x0"].to_pylist()
    x0[2] = 0.0  # the first face in Bob's photograph is off the center
    rows = rows.set_column(rows.schema.get_field_index("x0"), rows.schema.field("x0"), pa.array(x0, pa.float32()))
    names = names_by_folder(FaceTable.open(dataset(tmp_path / "d", rows)))
    assert names.people == ["Ann", "Bob", "Eve/deep"]
    assert names.of_row.tolist() == [0, 0, -1, 1, 2, -1]


def test_a_template_is_the_mean_of_a_person_s_unit_vectors(tmp_path: Path) -> None:
    vectors = random_faces(6)
    found = gallery(tmp_path, FOLDERS, vectors).search(vectors[1], k=9, by="person")
    (face,) = found.faces
    assert found.entries == 3
    by_name = {match.person: match for match in face.matches}
    assert set(by_name) == {"Ann", "Bob", "Eve/deep"}
    expected = unit(vectors[0] + vectors[1])[0] @ vectors[1]
    assert by_name["Ann"].cosine == pytest.approx(float(expected), abs=1e-6)
    assert (by_name["Ann"].photographs, by_name["Ann"].path) == (2, "Ann/2.jpg")
    assert [match.cosine for match in face.matches] == sorted((m.cosine for m in face.matches), reverse=True)


def test_without_itself_a_photograph_is_neither_found_nor_in_its_person_s_template() -> None:
    vectors = random_faces(6)
    faces = FaceTable(Path("here"), [table(FOLDERS, vectors)])
    names = names_by_folder(faces)
    query = Query("q.jpg", 0, vectors[1], names=("Ann/2.jpg",), sha256="loose.jpg's")
    (found,) = Search(faces, names, None, 6, None)([query], 9, "face", True)
    assert {match.path for match in found.matches} == set(FOLDERS) - {"Ann/2.jpg", "loose.jpg"}
    (found,) = Search(faces, names, None, 3, None)([query], 9, "person", True)
    ann = next(match for match in found.matches if match.person == "Ann")
    assert (ann.cosine, ann.photographs) == (pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5), 1)
    alone = Query("q.jpg", 0, vectors[4], names=("Eve/deep/1.jpg",))
    (found,) = Search(faces, names, None, 3, None)([alone], 9, "person", True)
    assert {match.person for match in found.matches} == {"Ann", "Bob"}


def test_the_same_file_a_copy_and_a_resized_copy_are_marked() -> None:
    vectors = random_faces(3)
    near = unit(vectors[0] + 0.05 * vectors[1])[0]
    faces = FaceTable(Path("here"), [table(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], [vectors[0], near, *vectors[1:]])])
    query = Query("x/a.jpg", 0, vectors[0], names=("a.jpg",), sha256="c.jpg's")
    (found,) = Search(faces, None, None, 4, None)([query], 4, "face", False)
    marks = {match.path: match.duplicate for match in found.matches}
    assert marks == {"a.jpg": "file", "b.jpg": "resized", "c.jpg": "copy", "d.jpg": None}


def people_csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "people.csv").write_text(text)
    return tmp_path / "people.csv"


def test_a_list_names_faces_by_their_id_or_their_path(tmp_path: Path) -> None:
    faces = FaceTable.open(dataset(tmp_path / "d", table(FOLDERS, random_faces(6))))
    by_id = names_by_list(faces, people_csv(tmp_path, f"face_id,person\n{3:016x},Zoe\n{0:016x},Ann\n"))
    assert (by_id.people, by_id.of_row.tolist()) == (["Ann", "Zoe"], [0, -1, -1, 1, -1, -1])
    by_path = names_by_list(faces, people_csv(tmp_path, "name,path\nAnn,loose.jpg\nAnn,Ann/1.jpg\n"))
    assert (by_path.people, by_path.of_row.tolist()) == (["Ann"], [0, -1, -1, -1, -1, 0])
    sums, counts = templates(faces, by_path)
    assert counts.tolist() == [2]
    assert np.linalg.norm(sums[0]) < 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names nobody"),
        ("id,who\na,b\n", "list face_id,person or path,person"),
        ("path,person\nAnn/1.jpg,\n", "line 2: an empty person"),
        ("path,person\nAnn/1.jpg,Ann\nAnn/1.jpg,Eve\n", "line 3: Ann/1.jpg is both Ann and Eve; keep one name"),
        ("path,person\ngone.jpg,Ann\n", "names none of its faces"),
        ("path,person\n\xff", "people.csv"),
    ],
)
def test_a_list_that_names_nobody_or_one_face_twice_is_refused(tmp_path: Path, text: str, says: str) -> None:
    faces = FaceTable.open(dataset(tmp_path / "d", table(FOLDERS, random_faces(6))))
    file = tmp_path / "people.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        names_by_list(faces, file)


def test_unknown_faces_in_a_list_are_told_and_the_others_used(tmp_path: Path) -> None:
    file = people_csv(tmp_path, "path,person\nAnn/1.jpg,Ann\ngone.jpg,Bob\n")
    found = gallery(tmp_path, FOLDERS, random_faces(6), file)
    assert found.people() == {"Ann": 1}
    assert "1 of 2 are no faces of" in found.search(random_faces(1), by="person").notes[0]


def test_faces_in_no_folder_are_nobody_s(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lie in no folder of a person; name people by --people"):
        gallery(tmp_path, ["a.jpg", "b.jpg"], random_faces(2)).people()


def test_hostile_names_pass_through_whole(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>/a.jpg", "two\nlines/b.jpg", "a,b;\"c'/d.jpg"]
    found = gallery(tmp_path, names, random_faces(3)).search(random_faces(1, 5), k=3, by="person")
    assert {match.path for match in found.faces[0].matches} == set(names)
    assert {match.person for match in found.faces[0].matches} == {name.rpartition("/")[0] for name in names}


def test_weights_that_do_not_come_with_facever_must_be_named(tmp_path: Path) -> None:
    path = dataset(tmp_path / "faces.parquet", table(["a.jpg"], random_faces(1)))
    with pytest.raises(DataError, match=r"made with the weights 'some' .* name their file by --weights"):
        Gallery.open(path)
    with pytest.raises(DataError, match="no such file or folder"):
        Gallery.open(tmp_path / "gone.parquet")


def test_a_table_for_pandas_has_a_row_per_match(tmp_path: Path) -> None:
    vectors = random_faces(4)
    frame = gallery(tmp_path, [f"{i}.jpg" for i in range(4)], vectors).search(vectors[:2], k=2).to_pandas()
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert frame["path"].tolist()[::2] == ["0.jpg", "1.jpg"]


def test_what_facever_cluster_wrote_names_people(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    known = ["p1,Ann", "p1,Ann", "p2,", ","]
    rows = [f"{i:016x},{each}," for i, each in enumerate(known)]
    people.write_text("\n".join(["face_id,person,name,decision", *rows]) + "\n")
    found = gallery(tmp_path, list("abcd"), random_faces(4), people).people()
    assert found == {"Ann": 2, "p2": 1}
