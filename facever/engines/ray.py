"""Photographs through a Ray cluster: what `facever.faces.parallel` does on one machine."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from facever.caches import private_folder
from facever.engines.cluster import Run, run_apart
from facever.engines.manifest import MissingRowsError, tables_of, write_manifest
from facever.engines.worker import Task, Worker
from facever.errors import FaceverError, OutputError
from facever.faces.pipeline import Job
from facever.faces.workers import starting

# Ray keeps the ids of what is finished in the memory of one process.
PHOTOGRAPHS_A_MANIFEST = 10_000_000
# Seconds between looks at what is finished; that Ray has to stop; that a cluster has to answer.
LOOK, STOP = 1.0, 20.0


def process_on_ray(
    photographs: Sequence[Path | str],
    job: Job,
    folder: Path,
    root: Path,
    columns: pa.Schema,
    *,
    address: str | None = None,
    workers: int | None = None,
    watch: Callable[[int], object] = lambda finished: None,
) -> Iterator[pa.Table]:
    """Embed photographs on a cluster; the tables of their rows go to `EmbeddingDataset.update`.

    What a run that was killed had finished is not embedded again.

    Parameters
    ----------
    photographs : sequence of Path and str
        Files, which all machines see at the same paths, and URIs that they can read.
    job : Job
        Its device may be "auto": the cluster's GPUs, or its cores.
    folder : Path
        The dataset's, on a file system that all machines share: in it lies, while this runs, a folder `.ray`.
    root, columns : Path, Schema
        As `facever.faces.dataset.open_dataset` takes them.
    address : str, optional
        Of the cluster, as HOST:PORT, or "auto" for the one that this machine belongs to. By default one is started on
        this machine, and stopped at the end.
    workers : int, optional
        Processes that embed; by default one per GPU, or per core but for `facever.engines.cluster.OTHER_CORES`.
    watch : callable
        Is told, every second or so, how many photographs are finished.

    Raises
    ------
    FaceverError
        If Ray can't be used, a machine lacks what it needs, or rows did not arrive.
    """
    home = folder.absolute() / ".ray"
    for start in range(0, len(photographs), PHOTOGRAPHS_A_MANIFEST):
        part = photographs[start : start + PHOTOGRAPHS_A_MANIFEST]
        private_folder(home)
        ids = write_manifest(home / "manifest.parquet", part)
        uris = sum(isinstance(each, str) for each in part)
        task = _task(job, home, root, columns, local=uris < len(part))
        with _emptied(temporary_path(home)) as temporary:
            run = Run(home, len(part), task, uris > 0, address, workers, temporary, Worker)
            _wait(run, start, watch)
        try:
            yield from tables_of(home / "results", ids, columns)
        except MissingRowsError as error:
            first = part[error.places[0]]
            shutil.rmtree(home)  # the next run takes these photographs anew
            raise FaceverError(
                f"{error}, the first: {first}; put {folder} where all machines see it, and run this again"
            ) from None
        shutil.rmtree(home)


def _task(job: Job, home: Path, root: Path, columns: pa.Schema, local: bool) -> Task:
    assert isinstance(job.output, Path)
    weights, notes = home / "weights.safetensors", home / "notes"
    shutil.copyfile(job.output, weights)
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    job = replace(job, output=weights)
    return Task(job=job, root=root, absolute_root=root.absolute(), local=local, columns=columns, notes=notes)


def temporary_path(home: Path) -> Path:
    """The folder of a cluster on this machine, for logs and sockets, whose paths must be short."""
    parent = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    return parent / f"facever-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """The folder for its owner only, empty at first, and gone at the end; a run that was killed leaves it."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise OutputError(f"{folder}: can't be created ({error.strerror}); remove it") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(run: Run, before: int, watch: Callable[[int], object]) -> None:
    """Start a run, and wait for its end; `before`: photographs finished before it. Raises FaceverError."""
    context = multiprocessing.get_context("spawn")
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_apart, args=(run, theirs), daemon=True)
    with starting():
        process.start()
    theirs.close()
    counts: dict[Path, int] = {}
    try:
        while not answer.poll(LOOK):
            watch(before + _finished(run.folder / "checkpoint", counts))
        cause = answer.recv()
    except EOFError:
        process.join()
        cause = f"its process ended with {process.exitcode}"
    finally:
        process.terminate()
        process.join(STOP)
        process.kill()
    if cause is not None:
        raise FaceverError(f"Ray: {cause}; {run.folder / 'log'} tells more; the same command continues")


def _finished(checkpoint: Path, counts: dict[Path, int]) -> int:
    """The number of photographs that are finished; `counts` is by file of the checkpoint, for the next call."""
    for path in checkpoint.glob("*.parquet"):
        if path not in counts and not path.name.endswith(".pending.parquet"):
            with suppress(Exception):  # it goes while it is looked at
                counts[path] = pq.read_metadata(path).num_rows
    return sum(counts.values())
