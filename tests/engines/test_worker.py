"""What the workers of a cluster make, without a cluster: what this machine makes, and what of photographs that kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_tables import assert_same_rows, read_dataset
from PIL import Image

from facever import Verifier
from facever.engines import worker as module
from facever.engines.manifest import MissingRowsError, result_of, tables_of, write_manifest
from facever.engines.worker import Task, Worker
from facever.errors import FaceverError
from facever.faces.dataset import Update, open_dataset
from facever.faces.folders import Folder, find_all, find_photographs
from facever.faces.parallel import process_files
from facever.faces.parquet import made_with, schema
from facever.faces.pipeline import PhotoResult
from facever.faces.sources import Decoded

NOT_TEXT = os.fsdecode(b"caf\xe9.jpg")


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load("mobilefacenet", "cpu")


@pytest.fixture
def folder(portrait: Path, tmp_path: Path) -> Path:
    """A face, the same under a name that is not text, no face, and a file that is cut off."""
    folder = tmp_path / "photographs"
    (folder / "below").mkdir(parents=True)
    face = Image.open(portrait).resize((171, 200))
    face.save(folder / "a.png")
    face.save(folder / "below" / NOT_TEXT)
    Image.new("RGB", (120, 120), "gray").save(folder / "blank.png")
    (folder / "cut.jpg").write_bytes((folder / "below" / NOT_TEXT).read_bytes()[:2000])
    return folder


class Site:
    """A dataset, filled by this machine, or by workers as a cluster calls them: a block after another."""

    def __init__(self, work: Path, root: Path, verifier: Verifier) -> None:
        self.out, self.work, self.root, self.verifier = work / "out.parquet", work, root, verifier
        self.columns = schema(verifier.size, made_with(verifier.info, verifier.weights))
        (work / "notes").mkdir(parents=True)
        self.results = work / "results"
        self.results.mkdir()

    @property
    def task(self) -> Task:
        job, notes = self.verifier.job(hashes=True), self.work / "notes"
        root = self.root.absolute()
        return Task(job=job, root=self.root, absolute_root=root, local=True, columns=self.columns, notes=notes)

    def update(self, found: Folder, process: Callable[[list[Any]], Iterator[Any]]) -> Update:
        with open_dataset(self.out, self.root, self.columns, self.verifier.info.quality, {}) as dataset:
            return dataset.update(found, process)

    def here(self, found: Folder) -> Update:
        return self.update(found, lambda paths: process_files(paths, self.verifier.job(hashes=True), 1))

    def there(self, found: Folder, worker: Callable[[pa.Table], pa.Table], size: int = 3) -> Update:
        def process(photographs: list[Any]) -> Iterator[pa.Table]:
            ids = write_manifest(self.work / "manifest.parquet", photographs)
            manifest = downloaded(pq.read_table(self.work / "manifest.parquet"))
            for i in range(0, len(manifest), size):
                pq.write_table(worker(manifest.slice(i, size)), self.results / f"{ids[i]}.parquet")
            yield from tables_of(self.results, ids, self.columns)

        return self.update(found, process)


def downloaded(manifest: pa.Table) -> pa.Table:
    """With the content of file:// URIs, as Ray adds it: null where there is none."""
    paths = [uri and Path(uri.removeprefix("file://")) for uri in manifest["path"].to_pylist()]
    content = [path.read_bytes() if path and path.exists() else None for path in paths]
    return manifest.append_column("bytes", pa.array(content, pa.binary()))


def errors(out: Path) -> dict[str, str]:
    return {row["path"]: row["error"] for row in read_dataset(out).to_pylist() if row["error"]}


@pytest.mark.slow
def test_workers_make_the_rows_of_this_machine(
    folder: Path, tmp_path: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    root, found = find_all([Path("photographs")])  # names in messages are those that the user gave
    here, there = Site(tmp_path / "here", root, verifier), Site(tmp_path / "there", root, verifier)
    assert here.here(found) == there.there(found, Worker(there.task)) == Update(4, 0, [])
    assert_same_rows(read_dataset(here.out), read_dataset(there.out))
    assert errors(there.out)["blank.png"] == "photographs/blank.png: no face found"
    assert r"below/caf\udce9.jpg" in read_dataset(there.out)["path"].to_pylist()
    # Each engine goes on where the other one was: only what can't be read is tried again.
    assert here.there(found, Worker(here.task)) == there.here(found) == Update(1, 3, [])
    assert not list((tmp_path / "there" / "notes").iterdir())


@pytest.mark.slow
def test_a_list_names_files_and_uris_which_are_embedded_once(folder: Path, tmp_path: Path, verifier: Verifier) -> None:
    uris = [f"file://{folder}/{name}" for name in ("a.png", "blank.png", "cut.jpg", "gone.png")]
    pq.write_table(pa.table({"path": ["a.png", *uris, str(folder / "blank.png")]}), folder / "list.parquet")
    root, found = find_all([folder / "list.parquet"])
    site = Site(tmp_path / "site", root, verifier)
    assert site.there(found, Worker(site.task)) == Update(6, 0, [])
    table = read_dataset(site.out)
    assert table["path"].to_pylist() == sorted(["a.png", "blank.png", *uris])
    by_path = {row["path"]: row for row in table.to_pylist()}
    assert by_path[uris[0]]["embedding"] == pytest.approx(by_path["a.png"]["embedding"], abs=1e-3)
    assert by_path[uris[0]]["file_size"] == (folder / "a.png").stat().st_size and not by_path[uris[0]]["file_time"]
    told = errors(site.out)
    assert told[uris[1]] == f"{uris[1]}: no face found"
    assert told[uris[2]].startswith(f"{uris[2]}: cut off")
    assert told[uris[3]].startswith(f"{uris[3]}: can't be downloaded; check the address")
    asked: list[Any] = []
    site.update(found, lambda wanted: iter(asked.extend(wanted) or []))
    assert asked == uris[2:]


def test_a_list_without_paths_is_refused(tmp_path: Path) -> None:
    for content in ({"file": ["a.jpg"]}, {"path": ["a.jpg", None]}, {"path": [1]}):
        pq.write_table(pa.table(content), tmp_path / "list.parquet")
        with pytest.raises(FaceverError, match=r"list\.parquet: can't be read .*give it a column 'path' of text"):
            find_all([tmp_path / "list.parquet"])


class Killed(BaseException):
    """SIGKILL, as far as one process can show it."""


class Deadly:
    """A pipeline that some names end, and that tells what it began."""

    def __init__(self, worker: Worker, kill: str = "nothing", raising: str = "nothing") -> None:
        self.pipeline, self.job, self.kill, self.raising = worker.pipeline, worker.pipeline.job, kill, raising
        self.begun: list[list[str]] = []

    def __call__(self, images: Sequence[Decoded]) -> list[PhotoResult]:
        self.begun.append([Path(image.name).name for image in images])
        for image in images:
            if self.kill in image.name:
                raise Killed
            if self.raising in image.name:
                raise ZeroDivisionError("of a decoder")
        return self.pipeline(images)


@pytest.mark.slow
def test_a_photograph_that_kills_its_worker_is_found_and_passed_over(
    folder: Path, tmp_path: Path, verifier: Verifier
) -> None:
    found = find_photographs(folder)
    site, plain = Site(tmp_path / "site", folder, verifier), Site(tmp_path / "plain", folder, verifier)
    begun = []

    def restarted(block: pa.Table) -> pa.Table:
        """As Ray does: another process, the same block."""
        while True:
            worker = Worker(site.task)
            worker.pipeline = deadly = Deadly(worker, kill="a.png")  # type: ignore[assignment]
            try:
                return worker(block)
            except Killed:
                continue
            finally:
                begun.append(deadly.begun)

    site.there(found, restarted, size=4)
    # The whole block; twice alone, the first photograph first; then the others.
    assert [len(each[0]) for each in begun] == [4, 1, 1, 1]
    assert begun[1] == begun[2] == [["a.png"]]
    assert errors(site.out)["a.png"] == f"{folder}/a.png: killed the process that had it alone, twice; check the file"
    plain.there(found, Worker(plain.task))
    others = [read_dataset(each.out).slice(1) for each in (site, plain)]
    assert_same_rows(*others)
    site.there(found, Worker(site.task))  # it may have been something else that killed those processes
    assert_same_rows(*(read_dataset(each.out) for each in (site, plain)))


@pytest.mark.slow
def test_an_exception_is_the_error_of_its_photograph(folder: Path, tmp_path: Path, verifier: Verifier) -> None:
    site = Site(tmp_path / "site", folder, verifier)
    worker = Worker(site.task)
    worker.pipeline = Deadly(worker, raising="a.png")  # type: ignore[assignment]
    site.there(find_photographs(folder), worker)
    assert errors(site.out)["a.png"] == f"{folder}/a.png: can't be embedded (of a decoder); check the file"
    assert len(read_dataset(site.out)) == 4


@pytest.mark.slow
def test_exceptions_for_most_photographs_are_not_theirs(
    folder: Path, tmp_path: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAULTS", 1)
    site = Site(tmp_path / "site", folder, verifier)
    worker = Worker(site.task)
    worker.pipeline = Deadly(worker, raising="")  # type: ignore[assignment]
    with pytest.raises(FaceverError, match="of a decoder"):
        site.there(find_photographs(folder), worker, size=4)


def test_a_machine_that_lacks_something_is_named(folder: Path, tmp_path: Path, verifier: Verifier) -> None:
    task = Site(tmp_path / "site", folder, verifier).task
    with pytest.raises(FaceverError, match=r"has facever .*, not 0\.0\.1; install the same one"):
        Worker(replace(task, version="0.0.1"))
    with pytest.raises(FaceverError, match=r"has no .*gone; share it with all machines"):
        Worker(replace(task, absolute_root=tmp_path / "gone"))


def result(work: Path, ids: list[int], name: str, vector: float) -> None:
    """A file of results of a cluster: a row per id, with two components."""
    columns = schema(2, {})
    rows = [{"path": f"{each}.jpg", "face": 0, "embedding": [vector, each]} for each in ids]
    table = result_of(pa.chunked_array([ids]), pa.Table.from_pylist(rows, columns), [1] * len(ids))
    pq.write_table(table, work / name)


def test_what_arrives_twice_counts_once_and_what_is_not_asked_for_does_not(tmp_path: Path) -> None:
    result(tmp_path, [5, 3, 9], "a.parquet", 1.0)
    result(tmp_path, [3, 4, 3, 7], "b.parquet", 2.0)
    (table,) = tables_of(tmp_path, np.array([9, 3, 4]), schema(2, {}))
    told = [(row["path"], row["embedding"][0]) for row in table.to_pylist()]
    assert sorted(told) == [("3.jpg", 1.0), ("4.jpg", 2.0), ("9.jpg", 1.0)]
    assert table.schema.equals(schema(2, {}), check_metadata=True)


def test_rows_that_do_not_arrive_are_missed_after_those_that_do(tmp_path: Path) -> None:
    result(tmp_path, [5, 3], "a.parquet", 1.0)
    result(tmp_path, [7], "b.parquet", 1.0)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 cut off")
    tables = tables_of(tmp_path, np.array([7, 3, 8, 5]), schema(2, {}))
    assert len(next(tables)) == 2
    with pytest.raises(MissingRowsError) as told:
        next(tables)
    assert told.value.places.tolist() == [0, 2]


def test_a_photograph_keeps_its_id_as_long_as_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    paths = find_photographs(folder).paths
    first = write_manifest(tmp_path / "m.parquet", paths)
    os.utime(paths[1], (1_000_000_000, 1_000_000_000))
    again = write_manifest(tmp_path / "m.parquet", [*reversed(paths), "s3://bucket/a.jpg"])
    assert len(set(again)) == 5 and (first >= 0).all()
    assert [a == b for a, b in zip(first, again[3::-1], strict=True)] == [True, False, True, True]
