"""`facever embed`: what is embedded, and how."""

from __future__ import annotations

import csv
import hmac
import io
import json
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


def test_without_paths_nothing_in_the_dataset_tells_one_and_it_can_be_continued(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture")
    asked = ("embed", folder, "-o", folder / "out", "-w", "dlib", "--no-path", "--path-key", folder / "keys" / "key")
    assert facever(*asked).code == 0
    key = folder / "keys" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text().strip()) == 64
    first = pq.read_table(folder / "out").to_pylist()
    expected = {
        name: hmac.new(key.read_bytes().strip(), name.encode(), "sha256").hexdigest()
        for name in ("a.jpg", "b.jpg", "new\\line é.jpg", "broken.jpg")
    }
    assert {row["path"] for row in first} == set(expected.values())
    (error,) = [row["error"] for row in first if row["error"]]
    assert error.startswith(f"{expected['broken.jpg']}: ")
    told = json.dumps([{**row, "taken": None, "file_time": None} for row in first])
    told += (folder / "out" / ".facever.json").read_text()
    assert not [name for name in ("a.jpg", "b.jpg", "line", "broken", folder.name, str(folder)) if name in told]

    Image.open(folder / "a.jpg").resize((200, 234)).save(folder / "later.jpg")
    (folder / "b.jpg").unlink()
    again = facever(*asked, "--prune", "--json")
    assert (again.json["embedded"], again.json["unchanged"], again.json["vanished"]) == (2, 2, 1)  # broken, later
    rows = {row["path"]: row for row in pq.read_table(folder / "out").to_pylist()}
    assert expected["b.jpg"] not in rows
    assert len(rows) == 4
    old = {row["path"]: row["face_id"] for row in first}
    assert rows[expected["a.jpg"]]["face_id"] == old[expected["a.jpg"]]
    other = facever(*asked[:-1], folder / "other")
    assert other.code == 2
    assert "made with another" in other.err and "path_key" in other.err
    plain = facever("embed", folder, "-o", folder / "plain.jsonl", "-w", "dlib")
    assert plain.code == 0
    known = {json.loads(line)["face_id"] for line in (folder / "plain.jsonl").read_text().splitlines()} - {None}
    assert not known & {row["face_id"] for row in rows.values()}


def test_paths_are_hashed_in_a_single_file_too(folder: Path) -> None:
    (folder / "key").write_text("k" * 40)
    asked = ("embed", folder, "-o", folder / "o.csv", "-w", "dlib", "--no-path", "--path-key", folder / "key")
    assert facever(*asked).code == 0
    assert "a.jpg" not in (folder / "o.csv").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--no-path",), "--no-path and --path-key go together"),
        (("--path-key", "@key"), "--no-path and --path-key go together"),
        (("--no-path", "--path-key", "@short"), "3 bytes are no key; name a file that is not there"),
        (("--no-path", "--path-key", "@a.jpg/key"), "can't be written"),
        (("--no-path", "--path-key", "@key", "--engine", "ray"), "leave out --engine ray"),
    ],
)
def test_a_key_that_can_not_be_used_is_refused(options: tuple[str, ...], says: str, folder: Path) -> None:
    (folder / "short").write_text("abc")
    options = tuple(option.replace("@", f"{folder}/") for option in options)
    outcome = facever("embed", folder, "-o", folder / "out", "-w", "dlib", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert not (folder / "out").exists()
