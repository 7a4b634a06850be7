"""`facever verify` for many pairs: a row for each, every photograph embedded once."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import facever
from PIL import Image

from facever import Verifier
from facever.faces import parallel
from facever.question import Question

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, portrait: Path) -> Path:
    """A portrait, the same one changed, a wall without a face, and a table of three pairs and one that can't be."""
    picture = Image.open(portrait).resize((256, 300))
    picture.save(tmp_path / "a.png")
    picture.rotate(8).resize((200, 235)).save(tmp_path / "b.png")
    Image.new("RGB", (200, 200), "teal").save(tmp_path / "wall.png")
    rows = ["path_a,path_b", "a.png,b.png", "b.png,a.png", "a.png,wall.png", "gone.png,a.png"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_row_for_each_pair_in_their_order_with_the_error_where_there_is_no_answer(folder: Path) -> None:
    outcome = facever("verify", "--pairs", folder / "pairs.csv", "-w", "dlib")
    assert outcome.code == 0
    assert outcome.err == "pairs 4: same person 2, different people 0, undecided 0, no answer 2\n"
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [Path(row["path_a"]).name for row in rows] == ["a.png", "b.png", "a.png", "gone.png"]
    alone = Verifier.load("dlib", "cpu").verify(folder / "a.png", folder / "b.png")
    for row in rows[:2]:
        assert (row["decision"], row["far"], row["error"]) == ("same", "0.001", "")
        assert float(row["cosine"]) == pytest.approx(alone.cosine, abs=1e-4)
        assert float(row["threshold"]) == pytest.approx(alone.threshold, abs=1e-6)
    assert rows[2]["error"].startswith(f"{folder / 'wall.png'}: no face found")
    assert rows[3]["error"].startswith(f"{folder / 'gone.png'}: no such file")
    assert rows[2]["decision"] == rows[3]["cosine"] == ""


def test_the_suffix_chooses_the_form_and_all_forms_hold_the_same(folder: Path) -> None:
    four = [folder / name for name in ("a.png", "b.png", "wall.png", "a.png")]
    for suffix in ("csv", "jsonl", "parquet"):
        assert facever("verify", *four, "-w", "dlib", "-o", folder / f"out.{suffix}").code == 0
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    table = pq.read_table(folder / "out.parquet").to_pylist()
    assert [row["path_b"] for row in table] == [row["path_b"] for row in lines] == [str(four[1]), str(four[3])]
    assert lines[0]["cosine"] == pytest.approx(table[0]["cosine"], abs=1e-6)
    assert (lines[0]["decision"], table[0]["decision"], table[1]["decision"]) == ("same", "same", None)
    with (folder / "out.csv").open(newline="") as file:
        assert [row["decision"] for row in csv.DictReader(file)] == ["same", ""]


def test_without_any_answer_the_exit_code_is_3_and_the_rows_tell_why(folder: Path) -> None:
    outcome = facever("verify", *[folder / "gone.png"] * 4, "-w", "dlib", "--json")
    assert outcome.code == 3
    assert [json.loads(line)["error"].partition(":")[0] for line in outcome.out.splitlines()] == [
        str(folder / "gone.png")
    ] * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pairs", "pairs.csv", "a.png", "b.png"], "--pairs takes the place of photographs"),
        (["a.png", "b.png", "-o", "out.csv"], "--out is for the answers to many pairs"),
        (["--pairs", "pairs.csv", "-o", "out.txt"], "--out ends in .csv, .jsonl, .parquet, not '.txt'"),
        (["--pairs", "pairs.csv", "-o", "pairs.csv"], "pairs.csv is what is read here"),
        (["--pairs", "pairs.txt"], "pairs.txt: no table"),
        (["--pairs", "gone.csv"], "gone.csv: can't be read"),
        (
            ["--pairs", "named.csv"],
            "named.csv: has no column path_a, path_b; a pair list has path_a and path_b: rename",
        ),
        (["--pairs", "empty.csv"], "empty.csv: holds no pairs"),
    ],
)
def test_what_can_not_be_asked_is_refused_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "named.csv").write_text("a,b\na.png,b.png\n")
    (folder / "empty.csv").write_text("path_a,path_b\n")
    before = (folder / "pairs.csv").read_bytes()
    outcome = facever("verify", *arguments, "-w", "dlib")
    assert (outcome.code, outcome.out) == (2, "")
    assert says in " ".join(outcome.err.split())
    assert (folder / "pairs.csv").read_bytes() == before


def test_each_photograph_is_embedded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = parallel.read

    def counting(source: Path, *rest: object) -> object:
        read.append(source.name)
        return whole(source, *rest)

    monkeypatch.setattr(parallel, "read", counting)
    verifier = Verifier.load("dlib", "cpu")
    a, b = folder / "a.png", folder / "b.png"
    pairs = [(a, b), (b, a), (a, a)]
    assert len(list(verifier.verify_pairs(pairs, Question(verifier.info, verifier.weights)))) == 3
    assert sorted(read) == ["a.png", "b.png"]


def test_stored_faces_give_the_answers_and_their_photographs_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert facever("embed", folder, "-o", folder / "faces.parquet", "-w", "dlib").code == 0
    fresh = facever("verify", "--pairs", folder / "pairs.csv", "-w", "dlib")
    read: list[str] = []
    whole = parallel.read
    monkeypatch.setattr(parallel, "read", lambda source, *rest: read.append(source.name) or whole(source, *rest))
    monkeypatch.chdir(folder)
    for gallery in ("faces.parquet", folder / "faces.parquet"):
        stored = facever("verify", "--pairs", "pairs.csv", "--gallery", gallery, "-w", "dlib")
        assert (stored.code, stored.err) == (0, fresh.err)
        pairs = zip(*(csv.DictReader(io.StringIO(each.out)) for each in (stored, fresh)), strict=True)
        for row, other in pairs:
            assert row["decision"] == other["decision"]
            assert (row["faces_a"], row["box_b"]) == (other["faces_a"], other["box_b"])
            if row["cosine"]:
                assert float(row["cosine"]) == pytest.approx(float(other["cosine"]), abs=2e-3)
            assert row["error"].partition(": ")[2] == other["error"].partition(": ")[2]
    assert set(read) == {"gone.png"}


def test_a_photograph_that_is_not_stored_is_embedded(folder: Path) -> None:
    assert facever("embed", folder / "a.png", "-o", folder / "one.parquet", "--one-file", "-w", "dlib").code == 0
    outcome = facever(
        "verify",
        folder / "a.png",
        folder / "b.png",
        *[folder / "b.png"] * 2,
        "--gallery",
        folder / "one.parquet",
        "-w",
        "dlib",
    )
    assert (outcome.code, outcome.err) == (0, "pairs 2: same person 2, different people 0, undecided 0, no answer 0\n")


def test_stored_faces_of_other_weights_or_rules_and_other_files_are_refused(folder: Path) -> None:
    pair = [folder / "a.png", folder / "b.png"] * 2
    for out, faces in (("all", "all"), ("largest", "largest")):
        assert facever("embed", pair[0], "-o", folder / out, "-w", "dlib", "--faces", faces).code == 0
    (folder / "text.parquet").write_text("path,embedding")
    (folder / "empty").mkdir()
    for name, weights, says in (
        ("all", "mobilefacenet", "made with the weights dlib"),
        ("largest", "dlib", "holds the largest face of each photograph"),
        ("text.parquet", "dlib", "name what facever embed wrote"),
        ("empty", "dlib", "no dataset of facever embed"),
    ):
        outcome = facever("verify", *pair, "--gallery", folder / name, "-w", weights)
        assert (outcome.code, outcome.out) == (2, "")
        assert says in " ".join(outcome.err.split())
