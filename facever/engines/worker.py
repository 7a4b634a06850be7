"""What runs on each core or GPU of a cluster: photographs of the manifest in, a row per photograph out."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from facever import __version__
from facever.engines.manifest import result_of
from facever.errors import FaceverError, reason_of
from facever.faces.parallel import run_pipeline
from facever.faces.parquet import photograph_rows
from facever.faces.pipeline import Job, PhotoResult, Pipeline
from facever.faces.sources import ImageBytes, Source
from facever.files import write_json
from facever.weights.records import Quality

# How often a photograph may end the process that has it alone; once may be a machine that was lost.
DEATHS = 2
# So many exceptions, where they are half of the photographs, end the run: a GPU that failed, for one.
FAULTS = 8

NOT_THERE = "can't be downloaded; check the address, and that all machines may read it"
PLAIN = ["path", "file", "size", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all workers do.

    Attributes
    ----------
    job : Job
        Its weights lie on a file system that all machines share.
    root, absolute_root : Path
        The folder that paths in the rows are relative to, as the user named it, and as the workers find it.
    local : bool
        Whether photographs are files, which every machine must see.
    columns : Schema
        Of the dataset.
    notes : Path
        A shared folder for notes on what is at work.
    version : str
        facever's.
    """

    job: Job
    root: Path
    absolute_root: Path
    local: bool
    columns: pa.Schema
    notes: Path
    version: str = __version__


@dataclass(frozen=True, slots=True)
class _Photograph:
    """A row of the manifest; `name` is what it is called in messages, `data` the content of a URI."""

    name: str
    path: Path | None
    data: pa.Scalar | None
    size: int | None
    time: int | None

    @property
    def there(self) -> bool:
        return self.path is not None or (self.data is not None and self.data.is_valid)

    def source(self) -> Source:
        return self.path or ImageBytes(self.name, self.data.as_py() if self.data else b"")

    def failed(self, cause: str) -> PhotoResult:
        return PhotoResult(self.name, problems=[f"{self.name}: {cause}"], readable=False)

    def rows(self, result: PhotoResult, root: Path, quality: Quality | None) -> list[dict[str, Any]]:
        problems = [self.name + problem.removeprefix(result.source) for problem in result.problems]
        stamp = (self.size, self.time) if result.readable else (None, None)
        return photograph_rows(replace(result, source=self.name, problems=problems), root, quality, stamp)


class Worker:
    """Detector and network in one process, and what to do where a photograph ends it.

    It may do so for want of memory, or by a fault in a decoder. Ray starts another process then, and gives it the same
    photographs. So a worker leaves a note before it begins. One that finds a note takes the photographs one by one and
    notes each: the next one knows the culprit, and passes it over.

    Raises
    ------
    FaceverError
        If this machine has another version of facever, or doesn't see the photographs.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        if task.version != __version__:
            raise FaceverError(f"{platform.node()} has facever {__version__}, not {task.version}; install the same one")
        if task.local and not task.absolute_root.is_dir():
            raise FaceverError(f"{platform.node()} has no {task.absolute_root}; share it with all machines")
        if task.job.device == "cpu":
            torch.set_num_threads(1)
        self.pipeline = Pipeline(task.job)
        assert self.pipeline.embedder is not None
        self.quality = self.pipeline.embedder.info.quality

    def __call__(self, block: pa.Table) -> pa.Table:
        """Embed photographs.

        Parameters
        ----------
        block : Table
            Rows of a manifest; of one with URIs, with their content in the column `bytes`, null where there is none.

        Returns
        -------
        Table
            As `facever.engines.manifest.result_of`.
        """
        photographs = [self._photograph(row, block, i) for i, row in enumerate(block.select(PLAIN).to_pylist())]
        embedded = iter(self._embed([each for each in photographs if each.there], block["id"]))
        results = [next(embedded) if each.there else each.failed(NOT_THERE) for each in photographs]
        rows = [
            each.rows(result, self.task.root, self.quality) for each, result in zip(photographs, results, strict=True)
        ]
        table = pa.Table.from_pylist(list(chain.from_iterable(rows)), self.task.columns)
        return result_of(block["id"], table, list(map(len, rows)))

    def _photograph(self, row: dict[str, Any], block: pa.Table, i: int) -> _Photograph:
        if row["file"] is None:
            data = block["bytes"][i]
            return _Photograph(row["path"], None, data, len(data.as_buffer()) if data.is_valid else None, None)
        path = Path(os.fsdecode(row["file"]))
        root = self.task.absolute_root
        name = self.task.root / path.relative_to(root) if path.is_relative_to(root) else path
        return _Photograph(str(name), path, None, row["size"], row["time"])

    def _embed(self, photographs: Sequence[_Photograph], ids: pa.ChunkedArray) -> list[PhotoResult]:
        if not photographs:
            return []
        note = self.task.notes / f"{ids[0]}.json"
        if note.exists():
            results = self._one_by_one(photographs, note)
        else:
            write_json(note, {"at": None, "ended": []})
            try:
                results = list(run_pipeline(self.pipeline, (each.source() for each in photographs)))
            except Exception:  # each alone tells whose it is
                results = self._one_by_one(photographs, note)
        note.unlink(missing_ok=True)
        return results

    def _one_by_one(self, photographs: Sequence[_Photograph], note: Path) -> list[PhotoResult]:
        ended: list[int | None] = []
        with suppress(ValueError):  # cut off
            told = json.loads(note.read_text())
            ended = [*told["ended"], told["at"]]
        results: list[PhotoResult] = []
        faults: list[Exception] = []
        for i, each in enumerate(photographs):
            if ended.count(i) >= DEATHS:
                results.append(each.failed("killed the process that had it alone, twice; check the file"))
                continue
            write_json(note, {"at": i, "ended": ended})
            try:
                results += run_pipeline(self.pipeline, [each.source()])
            except Exception as error:
                faults.append(error)
                results.append(each.failed(f"can't be embedded ({reason_of(error)}); check the file"))
        if len(faults) > max(FAULTS, len(photographs) // 2):  # not the photographs' fault
            raise FaceverError(f"{platform.node()}: {reason_of(faults[-1])}")
        return results
