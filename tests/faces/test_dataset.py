"""A dataset of embeddings that grows, is interrupted, and is read as one table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facever.errors import DataError, FaceverError, ImageError, OutputError
from facever.faces import dataset as module
from facever.faces.dataset import EmbeddingDataset, Update, open_dataset
from facever.faces.face import Face
from facever.faces.folders import Folder, find_all, find_photographs
from facever.faces.parquet import schema
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.faces.sources import content_sha256

MADE = {"weights": "w", "faces": "all"}


def result(path: Path) -> PhotoResult:
    """As many faces as the file has bytes; unreadable where these are no text."""
    content = path.read_bytes()
    if content == b"\xff":
        return PhotoResult(str(path), problems=[f"{path}: damaged"], readable=False)
    face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
    faces = [EmbeddedFace(face, None, np.full(4, byte, np.float32), 1.0) for byte in content]
    problems = [] if faces else [f"{path}: no face found"]
    return PhotoResult(str(path), faces, len(faces), problems, sha256=content_sha256(path))


def embed(
    folder: Path, out: Path, asked: list[str] | None = None, made: dict[str, Any] = MADE, repair: bool = False
) -> Update:
    def process(paths: list[Path]) -> Iterator[PhotoResult]:
        (asked if asked is not None else []).extend(path.name for path in paths)
        yield from map(result, paths)

    with open_dataset(out, folder, schema(4, made), None, made, repair) as dataset:
        return dataset.update(find_photographs(folder), process)


def rows(out: Path) -> list[tuple[str, int | None, float | None]]:
    """Path, index of the face, and the first component, in order, by the reader that everyone has."""
    table = pq.read_table(out).to_pylist()
    return sorted((row["path"], row["face"], row["embedding"] and row["embedding"][0]) for row in table)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photographs").mkdir()
    for name, content in {"a.jpg": b"\x01", "b.jpg": b"\x02\x03", "c.jpg": b"", "d.jpg": b"\xff"}.items():
        (tmp_path / "photographs" / name).write_bytes(content)
    return tmp_path / "photographs"


WHOLE = [("a.jpg", 0, 1.0), ("b.jpg", 0, 2.0), ("b.jpg", 1, 3.0), ("c.jpg", None, None), ("d.jpg", None, None)]


def test_a_second_run_asks_only_for_what_is_new_or_changed_or_could_not_be_read(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert embed(folder, out) == Update(4, 0, [])
    assert rows(out) == WHOLE
    (folder / "a.jpg").write_bytes(b"\x04\x05")
    (folder / "e.jpg").write_bytes(b"\x06")
    asked: list[str] = []
    assert embed(folder, out, asked) == Update(3, 2, [])
    assert asked == ["a.jpg", "d.jpg", "e.jpg"]
    assert rows(out) == [("a.jpg", 0, 4.0), ("a.jpg", 1, 5.0), *WHOLE[1:], ("e.jpg", 0, 6.0)]


def test_a_photograph_that_was_only_touched_is_not_embedded_again(folder: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "out")
    for name in ("a.jpg", "b.jpg"):
        os.utime(folder / name, (1_000_000_000, 1_000_000_000))
    (folder / "b.jpg").write_bytes(b"\x02\x04")  # the same size, another content
    os.utime(folder / "b.jpg", (1_000_000_000, 1_000_000_000))
    asked: list[str] = []
    embed(folder, tmp_path / "out", asked)
    assert asked == ["b.jpg", "d.jpg"]
    assert ("b.jpg", 1, 4.0) in rows(tmp_path / "out")
    times = {row["path"]: row["file_time"] for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert times["a.jpg"].timestamp() == 1_000_000_000
    embed(folder, tmp_path / "out", asked)
    assert asked == ["b.jpg", "d.jpg", "d.jpg"]


def test_several_folders_files_and_patterns_have_names_below_what_holds_them_all(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "below").mkdir(parents=True)
    for name in ("x.jpg", "below/y.jpg", "notes.txt"):
        (tmp_path / "more" / name).write_bytes(b"\x01")
    root, found = find_all([folder, tmp_path / "more" / "**", folder / "a.jpg"])
    names = [path.relative_to(root).as_posix() for path in found.paths]
    assert root == tmp_path
    assert names == ["more/below/y.jpg", "more/x.jpg", *(f"photographs/{each}.jpg" for each in "abcd")]
    assert find_all([folder])[0] == folder
    named = find_all([tmp_path / "more" / "notes.txt"])
    assert (named[0], named[1].paths) == (tmp_path / "more", [tmp_path / "more" / "notes.txt"])
    with pytest.raises(DataError, match=r"none\*\.jpg: no such folder or file; check the path"):
        find_all([folder, tmp_path / "none*.jpg"])


def test_a_photograph_that_changes_while_it_is_read_is_read_again(folder: Path, tmp_path: Path) -> None:
    def process(paths: list[Path]) -> Iterator[PhotoResult]:
        for path in paths:
            yield result(path)
            if path.name == "a.jpg":
                path.write_bytes(b"\x09\x09")

    with open_dataset(tmp_path / "out", folder, schema(4, MADE), None, MADE) as dataset:
        dataset.update(find_photographs(folder), process)
    asked: list[str] = []
    embed(folder, tmp_path / "out", asked)
    assert "a.jpg" in asked and "b.jpg" not in asked
    assert ("a.jpg", 1, 9.0) in rows(tmp_path / "out")


def test_photographs_that_are_gone_are_named_and_removed_when_asked(folder: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "out")
    (folder / "b.jpg").unlink()
    assert embed(folder, tmp_path / "out").vanished == ["b.jpg"]
    assert rows(tmp_path / "out") == WHOLE
    with open_dataset(tmp_path / "out", folder, schema(4, MADE), None, MADE) as dataset:
        dataset.remove(["b.jpg"])
    assert rows(tmp_path / "out") == [WHOLE[0], *WHOLE[3:]]


def test_what_lies_in_a_folder_that_cannot_be_read_is_not_gone(folder: Path, tmp_path: Path) -> None:
    (folder / "below").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).rename(folder / "below" / name)
    embed(folder, tmp_path / "out")
    found = find_photographs(folder)
    rest = Folder(found.paths[2:-1], [ImageError(str(folder / "below"), "the folder can't be read")], [])
    with open_dataset(tmp_path / "out", folder, schema(4, MADE), None, MADE) as dataset:
        assert dataset.update(rest, lambda paths: map(result, paths)).vanished == ["d.jpg"]
    assert ("below/b.jpg", 1, 3.0) in rows(tmp_path / "out")


def test_many_small_parts_become_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PHOTOGRAPHS_A_PART", 1)
    monkeypatch.setattr(module, "SMALL_PARTS", 3)
    for i in range(20):
        (folder / f"n{i:02d}.jpg").write_bytes(bytes([i]))
    embed(folder, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.parquet"))) < 3
    assert rows(tmp_path / "out") == [*WHOLE, *((f"n{i:02d}.jpg", 0, float(i)) for i in range(20))]
    assert embed(folder, tmp_path / "out").embedded == 1  # the one that can't be read


@pytest.mark.parametrize("where", ["_drop", "_merge"])
def test_an_end_between_a_new_part_and_the_old_ones_leaves_no_row_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    embed(folder, tmp_path / "out")
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"\x07\x08\x09")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "SMALL_PARTS", 1)
        if where == "_drop":
            patch.setattr(EmbeddingDataset, "_drop", killed)
        else:
            patch.setattr(Path, "unlink", killed)  # the first old part after the merge
        with pytest.raises(KeyboardInterrupt):
            embed(folder, tmp_path / "out")
    embed(folder, tmp_path / "out")
    assert rows(tmp_path / "out") == [
        *(("a.jpg", i, 7.0 + i) for i in range(3)),
        *(("b.jpg", i, 7.0 + i) for i in range(3)),
        *WHOLE[3:],
    ]


def test_a_killed_run_is_continued(folder: Path, tmp_path: Path) -> None:
    source = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_dataset as t
t.module.PHOTOGRAPHS_A_PART = 2
def process(paths):
    for path in paths:
        if path.name == "d.jpg":
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        yield t.result(path)
folder = Path({str(folder)!r})
with t.open_dataset(Path({str(tmp_path / "out")!r}), folder, t.schema(4, t.MADE), None, t.MADE) as dataset:
    dataset.update(t.find_photographs(folder), process)
"""
    assert subprocess.run([sys.executable, "-c", source]).returncode == -signal.SIGKILL
    assert rows(tmp_path / "out") == WHOLE[:3]
    asked: list[str] = []
    embed(folder, tmp_path / "out", asked)
    assert asked == ["c.jpg", "d.jpg"]
    assert rows(tmp_path / "out") == WHOLE


def other_files(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("a user's")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda out: out.write_text("a file"), "is a file.*--one-file"),
        (other_files, "holds other files; name a new folder"),
    ],
)
def test_what_is_no_dataset_is_left_alone(
    folder: Path, tmp_path: Path, prepare: Callable[[Path], object], says: str
) -> None:
    prepare(tmp_path / "out")
    with pytest.raises(OutputError, match=says):
        embed(folder, tmp_path / "out")
    assert not (tmp_path / "out" / ".facever.json").exists()


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "out")
    with pytest.raises(DataError, match="made with another weights; choose another --out"):
        embed(folder, tmp_path / "out", made={**MADE, "weights": "v"})
    assert rows(tmp_path / "out") == WHOLE


def test_a_second_writer_is_refused_with_the_first_ones_process(folder: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def process(paths: list[Path]) -> Iterable[PhotoResult]:
        try:
            embed(folder, tmp_path / "out")
        except FaceverError as error:
            refused.append(str(error))
        return map(result, paths)

    with open_dataset(tmp_path / "out", folder, schema(4, MADE), None, MADE) as dataset:
        dataset.update(find_photographs(folder), process)
    assert refused == [f"{tmp_path / 'out'}: another facever writes to it (process {os.getpid()}); wait for its end"]
    assert rows(tmp_path / "out") == WHOLE


def test_a_damaged_part_is_named_and_a_repair_embeds_its_photographs_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PHOTOGRAPHS_A_PART", 2)
    embed(folder, tmp_path / "out")
    part = tmp_path / "out" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part-000001\.parquet: can't be read .*; --repair embeds"):
        embed(folder, tmp_path / "out")
    asked: list[str] = []
    embed(folder, tmp_path / "out", asked, repair=True)
    assert asked == ["a.jpg", "b.jpg", "d.jpg"]
    assert rows(tmp_path / "out") == WHOLE


def test_a_repair_finds_damage_in_embeddings_too(folder: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "out")
    part = tmp_path / "out" / "part-000001.parquet"
    content = bytearray(part.read_bytes())
    column = pq.ParquetFile(part).metadata.row_group(0)
    chunk = next(
        column.column(i) for i in range(column.num_columns) if column.column(i).path_in_schema.startswith("embedding")
    )
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    part.write_bytes(content)
    asked: list[str] = []
    embed(folder, tmp_path / "out", asked, repair=True)
    assert asked == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert rows(tmp_path / "out") == WHOLE


def by_pyarrow(out: Path) -> list[tuple[str, Any]]:
    table = pq.read_table(out, columns=["path", "embedding"]).to_pylist()
    return [(row["path"], row["embedding"]) for row in table]


def by_pandas(out: Path) -> list[tuple[str, Any]]:
    table = pytest.importorskip("pandas").read_parquet(out)
    return list(zip(table["path"], table["embedding"], strict=True))


def by_polars(out: Path) -> list[tuple[str, Any]]:
    table = pytest.importorskip("polars").read_parquet(out / "*.parquet")
    return list(zip(table["path"].to_list(), table["embedding"].to_list(), strict=True))


def by_duckdb(out: Path) -> list[tuple[str, Any]]:
    query = f"SELECT path, embedding FROM '{out}/*.parquet'"
    rows: list[tuple[str, Any]] = pytest.importorskip("duckdb").sql(query).fetchall()
    return rows


@pytest.mark.parametrize("reader", [by_pyarrow, by_pandas, by_polars, by_duckdb])
def test_readers_of_parquet_take_it_for_one_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], list[tuple[str, Any]]]
) -> None:
    monkeypatch.setattr(module, "PHOTOGRAPHS_A_PART", 2)
    embed(folder, tmp_path / "out.parquet")
    told = sorted((path, None if vector is None else list(vector)) for path, vector in reader(tmp_path / "out.parquet"))
    assert told == [(path, None if value is None else [value] * 4) for path, _, value in WHOLE]


def test_only_the_owner_can_read_it_and_size_and_time_stand_in_it(folder: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "out")
    (part,) = (tmp_path / "out").glob("*.parquet")
    assert (part.stat().st_mode & 0o777, part.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    table = pq.read_table(part).slice(1, 1)
    status = (folder / "b.jpg").stat()
    assert table["file_size"].to_pylist() == [status.st_size]
    assert table["file_time"].cast(pa.int64()).to_pylist() == [status.st_mtime_ns // 1000]
