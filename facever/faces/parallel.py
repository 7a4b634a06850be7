"""Files through the pipeline, in one process or several."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock

from facever.faces.folders import Folder
from facever.faces.images import header_pixels
from facever.faces.memory import keep_freed_memory
from facever.faces.pipeline import Job, PhotoResult, Pipeline
from facever.faces.sources import Decoded, Remote, Source, file_of, read
from facever.faces.workers import FEW, Workers

BATCH = 16
# A batch also ends after so many pixels.
BATCH_PIXELS = 24_000_000
# Taken for the size of a photograph that is downloaded when it is read.
REMOTE = 12_000_000
READ_AHEAD = 4
# Pixels that are decoded, or about to be, at a time in a process; a larger photograph is alone, in all processes.
PIXELS = 32_000_000


def left_out(found: Folder) -> list[PhotoResult]:
    """A result for each folder that can't be read, and each photograph that can't be decoded here."""
    return [PhotoResult(error.source, problems=[str(error)], readable=False) for error in found.all_errors()]


def process_files(sources: Iterable[Source], job: Job, workers: int | None = None) -> Iterator[PhotoResult]:
    """Run a job over photographs. Results come in the order of the sources, as soon as they are ready.

    Parameters
    ----------
    workers : int, optional
        Number of processes; by default one per core that this process may use, or one for few photographs. On CUDA a
        single process feeds the device. A photograph that kills its worker has a result that says so.
    """
    sources = list(sources)
    if not sources:
        return
    if workers is None:
        from joblib import cpu_count

        # Processes of one thread each beat threads: most of a cascade is too small to share out.
        workers = cpu_count() if len(sources) >= FEW else 1
    if job.device != "cpu" or workers <= 1:
        yield from run_pipeline(Pipeline(job), sources)
    else:
        yield from _in_workers(sources, job, workers)


def run_pipeline(pipeline: Pipeline, sources: Iterable[Source]) -> Iterator[PhotoResult]:
    """Photographs through a pipeline in this process, some read ahead. Results come in order, as they are ready."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        yield from _Flow(pipeline, BATCH if pipeline.job.device == "cpu" else 4 * BATCH, pool)(sources)


class _Flow:
    """Photographs through a pipeline in batches, decoded a few ahead, with a bound on the pixels in memory.

    The bound is kept by the headers, before anything is decoded: a file of a megabyte may hold 80 million pixels. A
    large photograph is alone, in all processes that share the lock `large`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        size: int,
        pool: ThreadPoolExecutor | None = None,
        large: AbstractContextManager[object] = nullcontext(),
    ) -> None:
        self.pipeline, self.size, self.pool, self.large = pipeline, size, pool, large
        self.needed = pipeline.job.detector.needed
        self.waiting: deque[tuple[Callable[[], Decoded], int]] = deque()
        self.batch: list[Decoded] = []
        self.batch_pixels = self.pixels = 0

    def __call__(self, sources: Iterable[Source]) -> Iterator[PhotoResult]:
        for source in sources:
            pixels = REMOTE if isinstance(source, Remote) else header_pixels(file_of(source), self.needed)
            while (self.waiting or self.batch) and self.pixels + pixels > PIXELS:
                yield from self._advance()
            decode = functools.partial(read, source, self.needed, self.pipeline.job.hashes, self.pipeline.job.strict)
            if pixels > PIXELS:
                with self.large:
                    results = self.pipeline([decode()])
                yield from results
                continue
            self.waiting.append((decode if self.pool is None else self.pool.submit(decode).result, pixels))
            self.pixels += pixels
            if len(self.waiting) > (READ_AHEAD if self.pool else 0):
                yield from self._advance()
        while self.waiting or self.batch:
            yield from self._advance()

    def _advance(self) -> Iterator[PhotoResult]:
        """Take the next photograph into the batch; run the batch when it is full, or nothing waits."""
        if self.waiting:
            decode, pixels = self.waiting.popleft()
            self.batch.append(decode())
            self.batch_pixels += pixels
            if len(self.batch) < self.size and self.batch_pixels <= BATCH_PIXELS:
                return
        results = self.pipeline(self.batch)
        self.pixels -= self.batch_pixels
        self.batch, self.batch_pixels = [], 0
        yield from results


def _in_workers(sources: list[Source], job: Job, workers: int) -> Iterator[PhotoResult]:
    with TemporaryDirectory(prefix="facever-") as folder:
        pool: Workers[Source, PhotoResult] = Workers(workers, _worker, (job, f"{folder}/large.lock"), _lost)
        yield from pool(_batches(sources, BATCH))


def _worker(job: Job, large: str) -> Callable[[list[Source]], list[PhotoResult]]:
    """What a worker process does."""
    keep_freed_memory()
    torch.set_num_threads(1)
    flow = _Flow(Pipeline(job), BATCH, large=FileLock(large))
    return lambda sources: list(flow(sources))


def _lost(source: Source) -> PhotoResult:
    problem = (
        f"{source}: reading it ended the process, perhaps for want of memory; scale it down, or use fewer --workers"
    )
    return PhotoResult(str(source), problems=[problem], readable=False)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
