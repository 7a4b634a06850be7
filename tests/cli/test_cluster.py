"""`facever cluster` on what `facever embed` would have written, and on embeddings made elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import Outcome, facever
from gallery_samples import crowd, dataset, table
from sklearn.metrics import adjusted_rand_score

from facever.weights.shipped import find_weights, weights_sha256

COUNTS = [8, 6, 4, 2, 1]
HOSTILE = "<script>alert(1)</script>/../Bo\nNew"


def embedded(folder: Path, names: list[str], vectors: np.ndarray, name: str = "faces.parquet", **columns: list) -> Path:
    weights = {"name": "default", "sha256": weights_sha256(find_weights("default"))}
    return dataset(folder / name, table(names, list(vectors), **columns), weights=weights)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def write(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def faces(tmp_path: Path) -> tuple[Path, np.ndarray]:
    vectors, who = crowd(COUNTS)
    return embedded(tmp_path, [f"{i}.jpg" for i in range(len(who))], vectors), who


def grouped(tmp_path: Path, source: Path, *options: str | Path) -> tuple[Outcome, list[dict[str, str]]]:
    out = tmp_path / "people.csv"
    outcome = facever("cluster", source, "-o", out, "--force", *options)
    return outcome, rows_of(out) if outcome.code == 0 else []


def test_a_row_a_face_with_its_person_the_largest_first(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, who = faces
    outcome, rows = grouped(tmp_path, source)
    assert outcome.code == 0
    assert [row["person"] for row in rows] == [f"p{1 + person}" for person in who]
    assert list(rows[0]) == ["face_id", "path", "face", "x0", "y0", "x1", "y1", "person", "name", "decision"]
    assert (rows[3]["face_id"], rows[3]["path"], rows[3]["x0"]) == (f"{3:016x}", "3.jpg", "40.0")
    assert "21 faces: 5 people, 1 of one face" in outcome.err
    assert outcome.out == ""
    (tmp_path / "people.csv").unlink()
    told = facever("cluster", source, "--json").json
    assert [each["faces"] for each in told["people"]] == COUNTS
    shown = facever("cluster", source).out.splitlines()
    assert shown[0].split()[:3] == ["p1", "8", "faces"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_other_formats_hold_the_same_and_are_read_again(
    tmp_path: Path, faces: tuple[Path, np.ndarray], suffix: str
) -> None:
    source, _ = faces
    out = tmp_path / f"people.{suffix}"
    assert facever("cluster", source, "-o", out).code == 0
    rows = pq.read_table(out).to_pylist() if suffix == "parquet" else list(map(json.loads, out.open()))
    assert [row["person"] for row in rows] == [row["person"] for row in grouped(tmp_path, source)[1]]
    outcome, again = grouped(tmp_path, source, "--people", out)
    assert [row["person"] for row in again] == [row["person"] for row in rows]
    assert "moved" not in outcome.err


def test_names_and_decisions_survive_new_photographs(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, who = faces
    _, rows = grouped(tmp_path, source)
    for row in rows:
        if row["person"] == "p2":
            row["name"] = HOSTILE
    rows[0]["decision"] = "not same"
    rows[1]["decision"], rows[1]["person"] = "not a face", ""
    rows[20] |= {"person": "p3", "decision": "same"}
    before = write(tmp_path / "before.csv", rows)
    vectors, _ = crowd(COUNTS)
    more = np.concatenate([vectors, vectors[[5, 10]], crowd([3, 3], seed=1)[0]])
    bigger = embedded(tmp_path, [f"{i}.jpg" for i in range(len(more))], more, "more.parquet")
    outcome, found = grouped(tmp_path, bigger, "--people", before)
    assert outcome.code == 0
    people = [row["person"] for row in found]
    assert people[2:20] == [f"p{1 + person}" for person in who[2:20]]  # nobody moved
    assert people[0] not in {"p1", ""}
    assert people[1] == ""
    assert people[20] == "p3"
    assert people[21:23] == ["p1", "p2"]
    assert len({*people[23:26]}) == len({*people[26:29]}) == 1  # two new people
    assert not {*people[23:29]} & {*people[:23]}
    assert [row["decision"] for row in found[:3]] == ["not same p1", "not a face", ""]
    assert found[20]["decision"] == "same"
    assert {row["name"] for row in found if row["person"] == "p2"} == {HOSTILE}
    assert found[22]["name"] == HOSTILE
    again = facever("cluster", bigger, "--people", tmp_path / "people.csv", "-o", tmp_path / "again.csv")
    assert [row["person"] for row in rows_of(tmp_path / "again.csv")] == people
    assert "moved" not in again.err


def test_a_face_that_was_put_to_the_wrong_person_moves_and_is_reported(
    tmp_path: Path, faces: tuple[Path, np.ndarray]
) -> None:
    source, _ = faces
    _, rows = grouped(tmp_path, source)
    rows[0]["person"] = "p2"
    outcome, found = grouped(tmp_path, source, "--people", write(tmp_path / "before.csv", rows))
    assert found[0]["person"] == "p1"
    assert "moved: p2 -> p1: 1 face, the first: 0.jpg, face 0" in outcome.err
    rows[0]["decision"] = "same"
    outcome, found = grouped(tmp_path, source, "--people", write(tmp_path / "before.csv", rows))
    assert found[0]["person"] == "p2"
    assert "moved" not in outcome.err


def test_faces_that_are_gone_are_counted(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, _ = faces
    _, rows = grouped(tmp_path, source)
    rows.append({**rows[0], "face_id": "gone"})
    outcome, _ = grouped(tmp_path, source, "--people", write(tmp_path / "before.csv", rows))
    assert "before.csv: 1 of 22 are no faces of" in outcome.err


def test_a_person_twice_in_a_photograph_is_told(tmp_path: Path) -> None:
    vectors, _ = crowd([3], spread=0.1)
    outcome, rows = grouped(tmp_path, embedded(tmp_path, ["a.jpg", "a.jpg", "b.jpg"], vectors))
    assert {row["person"] for row in rows} == {"p1"}
    assert "a.jpg: faces 0 and 1 are both p1; a collage, a mirror, or a mistake" in outcome.err


def test_small_and_blurred_faces_join_and_found_nobody(tmp_path: Path) -> None:
    vectors, who = crowd([4, 1])
    source = embedded(tmp_path, list("abcde"), vectors, face_size=[10.0, 80, 80, 80, 80], sharpness=[2.0] * 4 + [0.1])
    outcome, rows = grouped(tmp_path, source)
    assert [row["person"] for row in rows] == ["p1", "p1", "p1", "p1", ""]
    assert "1 faces are nobody's" in outcome.err
    assert who.tolist() == [0, 0, 0, 0, 1]


def test_embeddings_made_elsewhere_need_a_threshold_or_weights(tmp_path: Path) -> None:
    vectors, who = crowd([3, 2])
    np.save(tmp_path / "faces.npy", 3 * vectors)
    (tmp_path / "faces.txt").write_text("".join(f"{i}.jpg\n" for i in range(5)))
    outcome, _ = grouped(tmp_path, tmp_path / "faces.npy")
    assert (outcome.code, "by --weights, or give a cosine by --threshold" in outcome.err) == (2, True)
    outcome, rows = grouped(tmp_path, tmp_path / "faces.npy", "--threshold", "0.5")
    assert adjusted_rand_score(who, [row["person"] for row in rows]) == 1
    assert len({row["face_id"] for row in rows}) == 5
    _, again = grouped(
        tmp_path, tmp_path / "faces.npy", "--threshold", "0.5", "--people", write(tmp_path / "b.csv", rows)
    )
    assert again == rows


def test_one_face(tmp_path: Path) -> None:
    outcome, rows = grouped(tmp_path, embedded(tmp_path, ["a.jpg"], crowd([1])[0]))
    assert (outcome.code, [row["person"] for row in rows]) == (0, ["p1"])


@pytest.mark.parametrize("bad", [np.zeros(64), np.full(64, np.nan)])
def test_damaged_embeddings_are_refused_by_the_photograph(tmp_path: Path, bad: np.ndarray) -> None:
    vectors = np.concatenate([crowd([2])[0], bad[None].astype(np.float32)])
    outcome, _ = grouped(tmp_path, embedded(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], vectors))
    assert outcome.code == 2
    assert "the first that of 'c.jpg'" in outcome.err
    assert not (tmp_path / "people.csv").exists()


def test_no_face_and_other_weights_are_refused(tmp_path: Path) -> None:
    empty = embedded(tmp_path, ["a.jpg"], [None])  # type: ignore[arg-type]
    assert "holds no face" in grouped(tmp_path, empty)[0].err
    other = dataset(tmp_path / "other.parquet", table(["a.jpg"], crowd([1])[0]))
    outcome, _ = grouped(tmp_path, other)
    assert (outcome.code, "made with the weights 'some'" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fpir", "0"], "--fpir is a rate"),
        (["--threshold", "2"], "--threshold is a cosine"),
        (["--fpir", "0.1", "--threshold", "0.5"], "give one of the two"),
        (["-o", "people.txt"], "ends in .csv"),
        (["--people", "none.csv"], "none.csv: can't be read"),
        (["--folders", "people.csv"], "a folder is written here"),
    ],
)
def test_bad_options_are_refused(
    tmp_path: Path, faces: tuple[Path, np.ndarray], options: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = facever("cluster", faces[0], *options)
    assert outcome.code == 2
    assert says in outcome.err


def test_nothing_is_written_onto_what_is_read(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, _ = faces
    grouped(tmp_path, source)
    people = tmp_path / "people.csv"
    outcome = facever("cluster", source, "--people", people, "-o", people, "--force")
    assert (outcome.code, "is what is read here" in outcome.err) == (2, True)


def test_folders_of_links_by_name(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, _ = faces
    _, rows = grouped(tmp_path, source)
    for row in rows:
        row["name"] = {"p1": HOSTILE, "p2": "..", "p5": "Eve"}.get(row["person"], "")
    by = tmp_path / "by"
    outcome, _ = grouped(tmp_path, source, "--people", write(tmp_path / "b.csv", rows), "--folders", by)
    assert outcome.code == 0
    names = sorted(each.name for each in by.iterdir())
    assert names == sorted(["_script_alert(1)__script__.._Bo_New", "_", "p3", "p4", "Eve"])
    links = sorted((by / "_").iterdir())
    assert [link.name for link in links] == sorted(f"{i}.jpg" for i in range(8, 14))
    assert links[0].readlink() == tmp_path / links[0].name
    assert "holds files already" in grouped(tmp_path, source, "--folders", by)[0].err


def test_folders_of_copies(tmp_path: Path, faces: tuple[Path, np.ndarray]) -> None:
    source, _ = faces
    _, rows = grouped(tmp_path, source)
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(b"photograph %d" % i)
    (tmp_path / "8.jpg").unlink()
    (tmp_path / "9.jpg").unlink()
    (tmp_path / "9.jpg").mkdir()
    for row in rows:
        row["name"] = {"p1": "Ann/Bo", "p2": "Ann_BO", "p3": "\U0001f600" * 100}.get(row["person"], "")
    by = tmp_path / "by"
    named = write(tmp_path / "b.csv", rows)
    outcome, _ = grouped(tmp_path, source, "--people", named, "--folders", by, "--copy")
    assert outcome.code == 0
    assert "8.jpg: no such file" in outcome.err
    assert "9.jpg: a folder, not a file" in outcome.err
    assert f"folders: 18 copies below {by}" in outcome.err
    assert sorted(each.name for each in by.iterdir()) == sorted(["Ann_Bo", "Ann_BO 2", "\U0001f600" * 50, "p4"])
    copy = by / "Ann_Bo" / "3.jpg"
    assert (copy.is_symlink(), copy.read_bytes()) == (False, b"photograph 3")
    assert copy.stat().st_mtime == (tmp_path / "3.jpg").stat().st_mtime
    assert by.stat().st_mode & 0o077 == 0
    outcome = facever("cluster", source, "--copy")
    assert (outcome.code, "--copy copies into --folders" in outcome.err) == (2, True)
