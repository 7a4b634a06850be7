"""`facever search`: photographs against what `facever embed` wrote, a folder, and embeddings made elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import facever
from PIL import Image
from samples import Page

from facever import Gallery
from facever.weights.calibrated import Calibrated
from facever.weights.shipped import find_weights
from facever.weights.tails import Tail
from facever.weights.thresholds_json import write_thresholds

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)<"
TAIL = Tail(0.9, 0.01, -0.12, 0.01, "them", 10**6, 400, ((1e-2, 5e-3, 2e-2), (1e-8, 0.0, 1e-8)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Photographs of two "people" in `photographs`, one named with hostile letters, and their dataset by dlib."""
    root = tmp_path_factory.mktemp("search")
    picture = Image.open(portrait).resize((205, 240))
    for name, image in {
        f"{HOSTILE}/a.png": picture,
        f"{HOSTILE}/b.png": picture.rotate(8),
        "two\nlines/c.png": picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "wall.png": Image.new("RGB", (200, 200), "teal"),
    }.items():
        path = root / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    assert facever("embed", root / "photographs", "-o", root / "faces.parquet", "-w", "dlib").code == 0
    many = Image.new("RGB", (4 * 205, 3 * 240))
    for i in range(12):
        many.paste(picture, (205 * (i % 4), 240 * (i // 4)))
    many.save(root / "twelve.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    write_thresholds(root / "mine.json", find_weights("dlib"), "dlib", Calibrated([], None, None, TAIL))
    return root


def test_the_most_alike_faces_of_a_photograph_that_is_there(folder: Path) -> None:
    outcome = facever("search", folder / "faces.parquet", folder / "photographs" / HOSTILE / "a.png", "-k", "2")
    assert outcome.code == 0
    title, first, second = outcome.out.splitlines()
    assert title.endswith(f"{HOSTILE}/a.png, face 0")
    assert first.split()[:2] == ["1", "1.0000"]
    assert first.endswith(f"{HOSTILE}/a.png, face 0 (the same file)")
    assert second.split()[0] == "2"
    assert "nothing is decided: the weights 'dlib'" in outcome.err or "threshold" in outcome.err


def test_names_of_several_lines_take_one(folder: Path) -> None:
    outcome = facever("search", folder / "faces.parquet", folder / "photographs" / "two\nlines" / "c.png", "-k", "1")
    assert len(outcome.out.splitlines()) == 2
    assert r"two\nlines/c.png" in outcome.out


def test_the_threshold_knows_how_many_there_are(folder: Path) -> None:
    asked = folder / "photographs" / HOSTILE / "a.png"
    common = ("search", folder / "faces.parquet", asked, "--thresholds", folder / "mine.json", "--json")
    found, strict = facever(*common), facever(*common, "--fpir", "1e-4")
    assert found.json["threshold"] == pytest.approx(TAIL.cosine(1 - 0.99 ** (1 / 3)))
    assert strict.json["threshold"] == pytest.approx(TAIL.cosine(1 - 0.9999 ** (1 / 3)), abs=1e-6)
    assert (found.json["fpir"], found.json["entries"], found.json["prior"]) == (0.01, 3, 0.25)
    for match in found.json["faces"][0]["matches"]:
        assert match["same"] == (match["cosine"] >= found.json["threshold"])
    refused = facever(*common, "--fpir", "1e-9")
    assert (refused.code, refused.out) == (2, "")
    assert "can't promise a false match rate of 3.3e-10" in refused.err


def test_people_are_folders_and_the_query_s_own_photograph_can_be_left_out(folder: Path) -> None:
    asked = folder / "photographs" / HOSTILE / "a.png"
    found = facever("search", folder / "faces.parquet", asked, "--by", "person", "--json").json
    assert [match["photographs"] for match in found["faces"][0]["matches"] if match["person"] == HOSTILE] == [2]
    others = facever("search", folder / "faces.parquet", asked, "--by", "person", "--exclude-self", "--json").json
    (own,) = [match for match in others["faces"][0]["matches"] if match["person"] == HOSTILE]
    assert (own["photographs"], own["path"]) == (1, f"{HOSTILE}/b.png")
    without = facever("search", folder / "faces.parquet", asked, "--exclude-self", "--json").json
    assert all(match["path"] != f"{HOSTILE}/a.png" for match in without["faces"][0]["matches"])


def test_twelve_faces_no_face_and_a_broken_file_in_one_go(folder: Path) -> None:
    asked = [folder / "twelve.png", folder / "photographs" / "wall.png", folder / "broken.jpg"]
    outcome = facever("search", folder / "faces.parquet", *asked, "-k", "1", "-o", folder / "out.csv", "--force")
    assert (outcome.code, outcome.out) == (0, "")
    assert "wall.png: no face found" in outcome.err
    assert "broken.jpg: " in outcome.err
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query_face"] for row in rows] == [str(i) for i in range(12)]
    assert all(float(row["cosine"]) > 0.9 for row in rows)


def test_without_any_face_the_exit_code_is_3(folder: Path) -> None:
    outcome = facever("search", folder / "faces.parquet", folder / "photographs" / "wall.png", "-o", folder / "no.csv")
    assert (outcome.code, outcome.out) == (3, "")
    assert "no face in any photograph" in outcome.err
    assert not (folder / "no.csv").exists()


def test_a_folder_of_photographs_is_embedded_on_the_spot(folder: Path) -> None:
    asked = folder / "photographs" / HOSTILE / "b.png"
    fresh = facever("search", folder / "photographs", asked, "-w", "dlib", "--json").json
    stored = facever("search", folder / "faces.parquet", asked, "--json").json
    assert [match["path"] for match in fresh["faces"][0]["matches"]] == [
        match["path"] for match in stored["faces"][0]["matches"]
    ]
    assert fresh["faces"][0]["matches"][0]["duplicate"] == "file"


def test_a_copy_under_another_name_is_marked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes((folder / "photographs" / HOSTILE / "a.png").read_bytes())
    found = facever("search", folder / "faces.parquet", tmp_path / "copy.png", "--json").json
    assert found["faces"][0]["matches"][0]["duplicate"] == "copy"


def test_all_forms_hold_the_same_and_the_page_stands_alone(folder: Path, tmp_path: Path) -> None:
    asked = folder / "photographs" / HOSTILE / "a.png"
    for suffix in ("jsonl", "parquet"):
        report = tmp_path / f"{suffix}.html"
        outcome = facever("search", folder / "faces.parquet", asked, "-o", tmp_path / f"m.{suffix}", "--report", report)
        assert outcome.code == 0
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "m.parquet").to_pylist()
    assert [row["path"] for row in lines] == [row["path"] for row in table]
    assert [row["rank"] for row in table] == [1, 2, 3]
    page = Page((tmp_path / "jsonl.html").read_text())
    assert "script" not in page.tags
    assert f"{HOSTILE}/a.png" in page.words
    assert all(link.startswith("data:") for link in page.links)
    assert page.tags.count("img") == 4


def test_embeddings_made_elsewhere_need_the_weights_that_made_them(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "faces.parquet", columns=["path", "embedding"])
    pq.write_table(table.filter(table["embedding"].is_valid()).replace_schema_metadata(None), tmp_path / "e.parquet")
    asked = folder / "photographs" / HOSTILE / "a.png"
    refused = facever("search", tmp_path / "e.parquet", asked)
    assert (refused.code, refused.out) == (2, "")
    assert "embeddings made elsewhere; name the weights that made them by --weights" in refused.err
    found = facever("search", tmp_path / "e.parquet", asked, "-w", "dlib", "-k", "1", "--json").json
    assert found["faces"][0]["matches"][0]["path"] == f"{HOSTILE}/a.png"
    other = facever("search", tmp_path / "e.parquet", asked, "-w", "default")
    assert "its embeddings have 128 components, and the query has 192" in other.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["faces.parquet", "twelve.png", "-w", "default"], "made with the weights dlib, and these are default"),
        (["faces.parquet", "gone.png"], "gone.png: no such folder or file"),
        (["gone.parquet", "twelve.png"], "gone.parquet: no such file or folder; name what facever embed wrote"),
        (["broken.jpg", "twelve.png"], "broken.jpg: can't be read"),
        (["faces.parquet", "twelve.png", "--by", "name"], "--by is face or person"),
        (["faces.parquet", "twelve.png", "--fpir", "2"], "--fpir is a rate between 0 and 1"),
        (["faces.parquet", "twelve.png", "--fpir", "0.1", "--threshold", "0.5"], "--threshold takes the place of"),
        (["faces.parquet", "twelve.png", "-o", "out.txt"], "--out ends in .csv, .jsonl, .parquet"),
        (["faces.parquet", "twelve.png", "-o", "people.csv", "--people", "people.csv"], "is what is read here"),
        (["faces.parquet", "twelve.png", "--people", "people.csv"], "people.csv: names nobody"),
    ],
)
def test_what_can_not_be_asked_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "people.csv").write_text("path,who\n")
    outcome = facever("search", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in " ".join(outcome.err.split())


def test_photographs_come_and_go_from_python(folder: Path, tmp_path: Path, portrait: Path) -> None:
    (tmp_path / "photographs").mkdir()
    picture = Image.open(portrait).resize((205, 240))
    picture.save(tmp_path / "photographs" / "one.png")
    assert facever("embed", tmp_path / "photographs", "-o", tmp_path / "d.parquet", "-w", "dlib").code == 0
    gallery = Gallery.open(tmp_path / "d.parquet")
    picture.rotate(5).save(tmp_path / "photographs" / "two.png")
    assert gallery.add([tmp_path / "photographs" / "two.png"]).embedded == 1
    assert gallery.add([tmp_path / "photographs" / "two.png"]).unchanged == 1
    pixels = np.asarray(picture.convert("RGB"))
    found = gallery.search(pixels, k=9)
    assert {match.path for match in found.faces[0].matches} == {"one.png", "two.png"}
    gallery.remove(tmp_path / "photographs" / "one.png")
    assert [match.path for match in gallery.search(pixels).faces[0].matches] == ["two.png"]
    with pytest.raises(Exception, match="holds no photograph"):
        gallery.remove("one.png")
