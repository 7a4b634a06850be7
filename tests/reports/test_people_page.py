"""The page of people, read by a reader of HTML, and clicked through by a browser."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from gallery_samples import crowd, table
from PIL import Image
from samples import Page

from facever.gallery.clustering import Clustering, cluster_faces
from facever.gallery.decisions import People
from facever.gallery.faces import FaceTable
from facever.reports.people import write_people
from facever.reports.people_page import write_people_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '</script><script>document.title = "taken"</script>&"\n'
COUNTS = [5, 4, 2, 1]


def faces_of(root: Path) -> FaceTable:
    """Photographs of 4 people, one with a hostile name, and one that is gone."""
    vectors, _ = crowd(COUNTS)
    names = [f"{i}.png" for i in range(12)]
    names[4] = names[3] = HOSTILE.replace("/", "") + ".png"  # a person twice in a photograph
    for i, name in enumerate(names[:-1]):
        Image.new("RGB", (100, 100), (20 * i, 100, 100)).save(root / name)
    return FaceTable(root, [pa.table(table(names, list(vectors)))])


@pytest.fixture
def clustering(tmp_path: Path) -> Clustering:
    people = tmp_path / "before.csv"
    faces = faces_of(tmp_path)
    write_people(people, cluster_faces(faces, threshold=0.5))
    lines = list(csv.DictReader(people.open(newline="")))
    for line in lines:
        line["name"] = HOSTILE if line["person"] == "p2" else ""
    with people.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return cluster_faces(faces, before=People.read(people), threshold=0.5)


@pytest.fixture
def page(tmp_path: Path, clustering: Clustering) -> Path:
    return write_people_page(tmp_path / "page" / "index.html", HOSTILE, clustering, tmp_path)


def test_it_stands_alone_and_shows_everybody_the_doubtful_first(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    seen = Page(text)
    assert all(link.startswith(("data:", "#")) for link in seen.links)
    assert seen.tags.count("script") == 2  # the rows and the program: none of a name's
    order = re.findall(r'data-person="(\w*)"', text)
    assert (order[0], order[-1], len(order)) == ("p1", "p4", 4)  # twice in a photograph; of one face
    assert text.count('loading="lazy"') == 12
    assert "show somebody twice" in seen.words
    assert oct(page.stat().st_mode)[-3:] == "600"


CLICKS = """
<script>
(async () => {
  const section = (person) => document.querySelector(`.person[data-person="${person}"]`);
  const saved = async () => {
    let blob;
    URL.createObjectURL = (found) => { blob = found; return "#"; };
    document.getElementById("save").click();
    return blob.text();
  };
  const put = (id, text) => {
    const into = document.createElement("pre");
    into.id = id;
    into.textContent = text;
    document.body.append(into);
  };
  put("as-it-was", await saved());
  const name = section("p1").querySelector(".name");
  name.value = '  Ann "A", \\u00c5ngstr\\u00f6m ';
  name.dispatchEvent(new Event("change", { bubbles: true }));
  for (const person of ["p1", "p3"]) section(person).querySelector(".pick").click();
  const merge = document.getElementById("merge");
  put("offer", merge.textContent + merge.disabled);
  merge.click();
  put("after", section("p3").hidden + " " + section("p1").querySelectorAll("li").length);
  const faces = section("p2").querySelectorAll(".face");
  faces[0].click();
  faces[1].click();
  faces[1].click();
  faces[2].click();
  document.getElementById("undo").click();
  section("p4").querySelector(".sure").click();
  put("decided", await saved());
  put("state", document.getElementById("state").textContent);
})();
</script>
"""


def parts(dom: str) -> dict[str, str]:
    return {name: html.unescape(text) for name, text in re.findall(r'<pre id="([\w-]+)">(.*?)</pre>', dom, re.DOTALL)}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium")
def test_people_are_named_merged_and_corrected_in_a_browser(page: Path, clustering: Clustering, tmp_path: Path) -> None:
    clicked = tmp_path / "clicked.html"
    clicked.write_text(page.read_text("utf-8").replace("</body>", CLICKS + "</body>"), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --disable-background-networking"
    done = subprocess.run(
        [BROWSER or "", *flags.split(), f"--user-data-dir={tmp_path}/profile", "--enable-logging=stderr",
         "--virtual-time-budget=10000", "--dump-dom", clicked.as_uri()],
        capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "<title>taken" not in done.stdout
    found = parts(done.stdout)
    assert found["offer"] == "Merge 2false"
    assert found["after"] == "true 7"
    assert found["state"] == "saved as people.csv"

    original = list(csv.DictReader(io.StringIO(found["as-it-was"])))
    assert [row["person"] for row in original] == [face.person for face in clustering.faces]
    file = tmp_path / "people.csv"
    file.write_text(found["decided"], "utf-8", newline="")
    rows = list(csv.DictReader(io.StringIO(found["decided"])))
    assert [row["face_id"] for row in rows] == [face.face_id for face in clustering.faces]
    decided = People.read(file)
    assert decided.names["p1"] == 'Ann "A", Ångström'
    merged = [row for row in rows if row["person"] == "p1"]
    assert len(merged) == 7
    assert sorted(row["decision"] for row in merged) == ["", "", "", "", "name", "same", "same"]
    assert sorted(row["decision"] for row in rows[5:9]) == ["", "", "not a face", "not same p2"]
    assert rows[11]["decision"] == "same"

    again = cluster_faces(faces_of(tmp_path), before=decided, threshold=0.5)
    who = np.array([face.person or "" for face in again.faces])
    assert (who[:5] == "p1").all()
    assert (who[9:11] == "p1").all()  # merged by hand, and far apart
    assert sorted(np.sum(who[5:9] == person) for person in ("p2", "")) == [1, 2]
    assert not again.moves


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium")
def test_it_fits_a_phone(page: Path, tmp_path: Path) -> None:
    measured = tmp_path / "measured.html"
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    measured.write_text(page.read_text("utf-8").replace("</body>", script + "</body>"), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --disable-background-networking"
    done = subprocess.run(
        [BROWSER or "", *flags.split(), f"--user-data-dir={tmp_path}/profile", "--window-size=500,800", "--dump-dom",
         measured.as_uri()],
        capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    width, _, window = re.search(r"<title>(\d+) (of) (\d+)", done.stdout).groups()  # type: ignore[union-attr]
    assert int(width) <= int(window)
