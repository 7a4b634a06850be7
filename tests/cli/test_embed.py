"""`facever embed`: what is embedded, and how."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import facever
from PIL import Image

from facever.files import sha256_of

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, portrait: Path) -> Path:
    picture = Image.open(portrait)
    for i, name in enumerate(("a.jpg", "b.jpg", "new\\line é.jpg")):
        picture.resize((256 + i, 300)).save(tmp_path / name)
    return tmp_path


def test_a_list_names_photographs_and_the_suffix_of_a_listed_file_does_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.jpg").rename(folder / "a.photo")
    names = [folder / "a.photo", folder / "new\\line é.jpg"]
    content = "\r\n".join(map(str, names)).encode() + b"\n\n"
    (folder / "list.txt").write_bytes(content)
    for listed, out in ((folder / "list.txt", "file"), ("-", "stdin")):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        assert facever("embed", "--list", listed, "-o", folder / out, "-w", "dlib").code == 0
        assert pq.read_table(folder / out)["path"].to_pylist() == ["a.photo", "new\\line é.jpg"]


@pytest.mark.parametrize(
    ("content", "says"), [("", "names no photograph"), ("gone.jpg\n", "no such folder or file"), (None, "list.txt")]
)
def test_a_list_that_is_empty_or_names_what_is_not_there_is_refused(
    folder: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (folder / "list.txt").write_text(content)
    outcome = facever("embed", "--list", folder / "list.txt", "-o", folder / "out", "-w", "dlib")
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert not (folder / "out").exists()


def test_nothing_named_is_a_usage_error(folder: Path) -> None:
    outcome = facever("embed", "-o", folder / "out")
    assert (outcome.code, "--list" in outcome.err) == (2, True)


def test_without_the_mirror_image_a_face_is_embedded_alone_and_such_rows_stay_apart(folder: Path) -> None:
    (folder / "flipped").mkdir()
    Image.open(folder / "a.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "flipped" / "a.png")
    Image.open(folder / "a.jpg").save(folder / "flipped" / "b.png")
    cosines = {}
    for flag in ("--mirror", "--no-mirror"):
        out = folder / f"out{flag}"
        assert facever("embed", folder / "flipped", "-o", out, "-w", "dlib", flag).code == 0
        a, b = np.array(pq.read_table(out)["embedding"].to_pylist())
        cosines[flag] = float(a @ b)
    assert cosines["--mirror"] > cosines["--no-mirror"]
    mixed = facever("embed", folder / "flipped", "-o", folder / "out--mirror", "-w", "dlib", "--no-mirror")
    assert (mixed.code, "another mirror" in mixed.err) == (2, True)


@pytest.mark.parametrize("out", ["s3://bucket/faces", "s3://bucket/faces.csv", "faces.tsv"])
def test_a_url_or_an_unknown_suffix_is_refused_before_anything_is_written(
    out: str, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = facever("embed", portrait, "-o", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert "a URL" in outcome.err or "a folder is written here; name one without .tsv" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("out", ["out.parquet", "out.csv"])
def test_photographs_elsewhere_are_downloaded_and_what_is_not_there_is_a_row(
    tmp_path: Path, portrait: Path, out: str
) -> None:
    uris = [portrait.as_uri(), (tmp_path / "gone.jpg").as_uri(), "nowhere://bucket/a.jpg"]
    pq.write_table(pa.table({"path": uris}), tmp_path / "list.parquet")
    outcome = facever("embed", tmp_path / "list.parquet", "-o", tmp_path / out, "-w", "dlib")
    assert outcome.code == 0
    assert "with a face 1, without 0, unreadable 2" in outcome.out
    if out.endswith(".csv"):
        with (tmp_path / out).open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [row for part in sorted((tmp_path / out).glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
        again = facever("embed", tmp_path / "list.parquet", "-o", tmp_path / out, "-w", "dlib")
        assert "unchanged 1" in again.out  # what could not be downloaded is tried again
    errors = {row["path"]: row["error"] or "" for row in rows}
    assert errors[uris[0]] == ""
    assert all("can't be downloaded" in errors[uri] for uri in uris[1:])
    assert next(row for row in rows if row["path"] == uris[0])["file_sha256"] == sha256_of(portrait)
