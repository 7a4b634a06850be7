"""The Parquet file of embeddings, read back with pyarrow as a user would."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facever.errors import DataError, OutputError
from facever.faces import parquet as embeddings_file
from facever.faces.face import Face
from facever.faces.looks import Looks
from facever.faces.parquet import photograph_rows, write_embeddings
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.weights.alignment import FACE_112X96
from facever.weights.metadata import WeightsInfo
from facever.weights.records import Normalization, Quality, WeightsId
from facever.weights.thresholds import Threshold

INFO = WeightsInfo(
    name="made up",
    network="face_resnet",
    network_arguments={},
    alignment=FACE_112X96,
    normalization=Normalization(),
    mirrored=False,
    loss={"name": "l2-softmax", "alpha": 16.0},
    training_data=[],
    license="MIT",
    credit="nobody",
    thresholds=[Threshold(0.001, 0.5, "strangers", 20_000, 0.9)],
)
WEIGHTS = WeightsId("made up", "1" * 64)


LOOKS = Looks(1.5, 0.5, 40.0, ("eye region",))


def embedded(start: float, score: float = 0.75, norm: float = 2.5) -> EmbeddedFace:
    """A face whose box is start … start + 3, its landmarks start … start + 9, its embedding of 4 components one-hot."""
    box = np.arange(start, start + 4, dtype=np.float32)
    landmarks = np.arange(start, start + 10, dtype=np.float32).reshape(5, 2)
    embedding = np.eye(4, dtype=np.float32)[int(start) % 4]
    return EmbeddedFace(Face(box, landmarks, score), np.zeros((112, 96, 3), np.uint8), embedding, norm, LOOKS)


def some(root: Path) -> list[PhotoResult]:
    return [
        PhotoResult(
            str(root / "group.jpg"),
            [embedded(0), embedded(10, 0.5, 1.5)],
            found=2,
            size=(640, 480),
            sha256="a" * 64,
            taken=datetime(2008, 5, 30, 15, 56, 1),
        ),
        PhotoResult(str(root / "below" / "one.jpg"), [embedded(20)], found=1),
        PhotoResult(str(root / "room.jpg"), problems=["room.jpg: no face found"]),
        PhotoResult(str(root / "broken.jpg"), problems=["broken.jpg: cut off"], readable=False),
    ]


def test_each_face_is_a_row_and_so_is_each_photograph_without_one(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    counts = write_embeddings(file, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    assert (counts.photographs, counts.with_face, counts.without_face, counts.unreadable) == (4, 2, 1, 1)
    assert counts.faces == 3
    unknown = {"file_size": None, "file_time": None, "warning": None}
    taken = datetime(2008, 5, 30, 15, 56, 1)
    of_group = {"width": 640, "height": 480, "taken": taken, "file_sha256": "a" * 64, **unknown, "warning": None}
    not_told = {**dict.fromkeys(of_group), "error": None}
    rows = pq.read_table(file).to_pylist()
    ids = [row.pop("face_id") for row in rows]
    assert len(set(ids[:3])) == 3 and all(len(each) == 16 for each in ids[:3]) and ids[3:] == [None, None]
    nothing = dict.fromkeys(set(rows[0]) - {"path"})
    assert rows == [
        {
            "path": "group.jpg",
            "face": 0,
            "box": [0, 1, 2, 3],
            **{"x0": 0, "y0": 1, "x1": 2, "y1": 3},
            "landmarks": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            "score": 0.75,
            "norm": 2.5,
            "quality": None,
            "face_size": 2,
            **{"sharpness": 1.5, "noise": 0.5, "contrast": 40, "covered": ["eye region"], "upside_down": False},
            "embedding": [1, 0, 0, 0],
            **{"error": None, **of_group},
        },
        {
            "path": "group.jpg",
            "face": 1,
            "box": [10, 11, 12, 13],
            **{"x0": 10, "y0": 11, "x1": 12, "y1": 13},
            "landmarks": [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
            "score": 0.5,
            "norm": 1.5,
            "quality": None,
            "face_size": 2,
            **{"sharpness": 1.5, "noise": 0.5, "contrast": 40, "covered": ["eye region"], "upside_down": False},
            "embedding": [0, 0, 1, 0],
            **{"error": None, **of_group},
        },
        {
            "path": "below/one.jpg",
            "face": 0,
            "box": [20, 21, 22, 23],
            **{"x0": 20, "y0": 21, "x1": 22, "y1": 23},
            "landmarks": [20, 21, 22, 23, 24, 25, 26, 27, 28, 29],
            "score": 0.75,
            "norm": 2.5,
            "quality": None,
            "face_size": 2,
            **{"sharpness": 1.5, "noise": 0.5, "contrast": 40, "covered": ["eye region"], "upside_down": False},
            "embedding": [1, 0, 0, 0],
            **not_told,
        },
        {"path": "room.jpg", **nothing, "error": "room.jpg: no face found"},
        {"path": "broken.jpg", **nothing, "error": "broken.jpg: cut off"},
    ]


def test_the_quality_is_the_percentile_of_the_norm_where_the_weights_hold_one(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    record = Quality(tuple(k / 25 for k in range(101)), "strangers", 500)  # 1.5 * 25 and 2.5 * 25
    write_embeddings(file, some(tmp_path), tmp_path, replace(INFO, quality=record), WEIGHTS, 4)
    assert pq.read_table(file)["quality"].to_pylist() == [62.5, 37.5, 62.5, None, None]


def test_columns_have_fixed_types_and_sizes(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write_embeddings(file, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    single = pa.float32()
    columns = pq.read_schema(file)
    assert dict(zip(columns.names, columns.types, strict=True)) == {
        "path": pa.string(),
        "face": pa.int32(),
        "face_id": pa.string(),
        "box": pa.list_(single, 4),
        **dict.fromkeys(("x0", "y0", "x1", "y1"), single),
        "landmarks": pa.list_(single, 10),
        "score": single,
        "face_size": single,
        "sharpness": single,
        "noise": single,
        "contrast": single,
        "covered": pa.list_(pa.string()),
        "upside_down": pa.bool_(),
        "norm": single,
        "quality": single,
        "embedding": pa.list_(single, 4),
        "error": pa.string(),
        "warning": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "taken": pa.timestamp("ms"),  # Parquet has no seconds
        "file_sha256": pa.string(),
        "file_size": pa.int64(),
        "file_time": pa.timestamp("us", "UTC"),
    }
    assert all(field.metadata[b"description"] for field in columns)


def test_a_face_keeps_its_id_as_long_as_its_photograph_has_its_path_and_content(tmp_path: Path) -> None:
    def ids(name: str, sha256: str) -> list[str]:
        photograph = PhotoResult(str(tmp_path / name), [embedded(0), embedded(4)], sha256=sha256)
        return [row["face_id"] for row in photograph_rows(photograph, tmp_path, None)]

    before = ids("a.jpg", "0" * 64)
    assert ids("a.jpg", "0" * 64) == before
    assert len({*before, *ids("a.jpg", "1" * 64), *ids("b.jpg", "0" * 64)}) == 6


def test_csv_and_json_lines_hold_what_parquet_holds(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "jsonl"):
        write_embeddings(tmp_path / f"out.{suffix}", some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    expected = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for row in expected:
        row["taken"] = row["taken"] and row["taken"].isoformat()
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["embedding"] for row in rows] == ["[1.0,0.0,0.0,0.0]", "[0.0,0.0,1.0,0.0]", "[1.0,0.0,0.0,0.0]", "", ""]
    assert (rows[1]["path"], rows[1]["face"], rows[1]["x0"], rows[1]["taken"], rows[3]["error"]) == (
        "group.jpg",
        "1",
        "10.0",
        "2008-05-30T15:56:01",
        "room.jpg: no face found",
    )


def test_floats_in_text_have_the_fewest_digits_that_are_exact(tmp_path: Path) -> None:
    photograph = PhotoResult("a.jpg", [embedded(0, score=0.1)], 1)
    write_embeddings(tmp_path / "out.jsonl", [photograph], tmp_path, INFO, WEIGHTS, 4)
    assert '"score":0.1,' in (tmp_path / "out.jsonl").read_text()


def test_the_file_tells_which_weights_and_versions_made_it(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write_embeddings(file, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    told = json.loads(pq.read_schema(file).metadata[b"facever"])
    assert msgspec.convert(told["weights"], WeightsInfo) == INFO
    assert told["weights"]["sha256"] == WEIGHTS.sha256
    assert told["versions"]["numpy"] == np.__version__


def test_rows_are_written_as_they_come_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_file, "ROWS_A_GROUP", 2)
    file = tmp_path / "out.parquet"
    photographs = (PhotoResult(f"{i}.jpg", [embedded(i)], found=1) for i in range(5))
    assert write_embeddings(file, photographs, tmp_path, INFO, WEIGHTS, 4).faces == 5
    assert pq.ParquetFile(file).num_row_groups == 3
    table = pq.read_table(file)
    assert table["path"].to_pylist() == [f"{i}.jpg" for i in range(5)]
    assert [row[0] for row in table["box"].to_pylist()] == [0, 1, 2, 3, 4]


def test_photographs_that_can_not_be_decoded_here_are_counted_among_the_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings_file, "is_undecodable", lambda path: path.suffix == ".heic")
    broken = [PhotoResult(name, problems=["why"], readable=False) for name in ("a.heic", "b.jpg")]
    empty = PhotoResult("c.heic", problems=["no face found"])  # it was decoded
    counts = write_embeddings(tmp_path / "out.parquet", [*broken, empty], tmp_path, INFO, WEIGHTS, 4)
    assert (counts.photographs, counts.without_face, counts.unreadable, counts.undecodable) == (3, 1, 2, 1)


def test_a_face_that_could_not_be_aligned_stands_beside_those_that_could(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write_embeddings(file, [PhotoResult("a.jpg", [embedded(0)], 2, ["a.jpg: one line"])], tmp_path, INFO, WEIGHTS, 4)
    assert pq.read_table(file).select(["face", "error"]).to_pylist() == [
        {"face": 0, "error": None},
        {"face": None, "error": "a.jpg: one line"},
    ]


def test_a_photograph_outside_the_folder_keeps_its_whole_path(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write_embeddings(file, [PhotoResult("/elsewhere/a.jpg", [embedded(0)], 1)], tmp_path, INFO, WEIGHTS, 4)
    assert pq.read_table(file)["path"].to_pylist() == ["/elsewhere/a.jpg"]


def test_bytes_that_are_no_text_become_escapes_in_paths_and_errors(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    file = tmp_path / os.fsdecode(b"caf\xe9.parquet")
    try:
        file.touch()
    except OSError:
        pytest.skip("this file system takes text only")
    write_embeddings(file, [PhotoResult(name, problems=[f"{name}: no face found"])], tmp_path, INFO, WEIGHTS, 4)
    with file.open("rb") as opened:
        (row,) = pq.read_table(opened).to_pylist()
    assert row["path"] == r"caf\udce9.jpg"
    assert row["error"] == r"caf\udce9.jpg: no face found"


# ---- whole or not at all -------------------------------------------------------------------------


def test_no_photographs_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs in it; name a folder that holds some") as refusal:
        write_embeddings(tmp_path / "out.parquet", [], tmp_path / "photographs", INFO, WEIGHTS, 4)
    assert str(refusal.value).startswith(f"{tmp_path / 'photographs'}: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_interruption_midway_leaves_the_older_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    monkeypatch.setattr(embeddings_file, "ROWS_A_GROUP", 1)
    file = tmp_path / "out.parquet"
    file.write_text("the older file")

    def interrupted() -> Iterator[PhotoResult]:
        yield PhotoResult("a.jpg", [embedded(0)], 1)
        raise interruption

    with pytest.raises(interruption):
        write_embeddings(file, interrupted(), tmp_path, INFO, WEIGHTS, 4)
    assert file.read_text() == "the older file"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_an_output_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    file = tmp_path / "out.parquet"
    with pytest.raises(OutputError, match="No space left on device") as refusal:
        write_embeddings(file, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    assert str(refusal.value).startswith(f"{file}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_an_output_error_too(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OutputError, match=r"out\.parquet: can't be written"):
            write_embeddings(tmp_path / "out.parquet", some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_made_and_a_device_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "out.parquet"
    write_embeddings(file, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    assert pq.read_metadata(file).num_rows == 5
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="device or pipe; name a file"):
        write_embeddings(pipe, some(tmp_path), tmp_path, INFO, WEIGHTS, 4)
    assert pipe.is_fifo()
