"""Files through the pipeline, in one process or several."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import torch

from facever.errors import FaceverError
from facever.faces.images import header_pixels
from facever.faces.pipeline import Job, PhotoResult, Pipeline
from facever.faces.sources import Decoded, Folder, ImageBytes, Source, read

BATCH = 16
# A batch also ends after so many pixels.
BATCH_PIXELS = 24_000_000
READ_AHEAD = 4
# Pixels that are decoded, or about to be, at a time in a process; a larger photograph is alone.
PIXELS = 64_000_000
# Worker processes take seconds to start; below so many photographs one process finishes sooner.
FEW = 200


def left_out(found: Folder) -> list[PhotoResult]:
    """A result for each folder that can't be read, and each photograph that can't be decoded here."""
    return [PhotoResult(error.source, problems=[str(error)], readable=False) for error in found.all_errors()]


def process_files(sources: Iterable[Source], job: Job, workers: int | None = None) -> Iterator[PhotoResult]:
    """Run a job over photographs. Results come in the order of the sources, as soon as they are ready.

    Parameters
    ----------
    workers : int, optional
        Number of processes; by default one per core that this process may use, or one for few photographs. On CUDA a
        single process feeds the device.

    Raises
    ------
    FaceverError
        If a worker was killed, most likely for want of memory.
    """
    sources = list(sources)
    if not sources:
        return
    if workers is None:
        from joblib import cpu_count

        # Processes of one thread each beat threads: most of a cascade is too small to share out.
        workers = cpu_count() if len(sources) >= FEW else 1
    if job.device != "cpu" or workers <= 1:
        yield from _in_this_process(sources, job)
    else:
        yield from _in_workers(sources, job, workers)


def _in_this_process(sources: list[Source], job: Job) -> Iterator[PhotoResult]:
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        yield from _Flow(Pipeline(job), BATCH if job.device == "cpu" else 4 * BATCH, pool)(sources)


class _Flow:
    """Photographs through a pipeline in batches, decoded a few ahead, with a bound on the pixels in memory.

    The bound is kept by the headers, before anything is decoded: a file of a megabyte may hold 80 million pixels.
    """

    def __init__(self, pipeline: Pipeline, size: int, pool: ThreadPoolExecutor | None = None) -> None:
        self.pipeline, self.size, self.pool = pipeline, size, pool
        self.waiting: deque[tuple[Callable[[], Decoded], int]] = deque()
        self.batch: list[Decoded] = []
        self.batch_pixels = self.pixels = 0

    def __call__(self, sources: Iterable[Source]) -> Iterator[PhotoResult]:
        for source in sources:
            pixels = header_pixels(source.data if isinstance(source, ImageBytes) else source)
            while self.pixels and self.pixels + pixels > PIXELS:
                yield from self._advance()
            decode = functools.partial(read, source)
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
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(
        n_jobs=workers,
        return_as="generator",
        pre_dispatch="3*n_jobs",
        batch_size=1,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    tasks = (delayed(_process_batch)(batch, job) for batch in _batches(sources, BATCH))
    _quiet_pool()
    try:
        for results in parallel(tasks):
            yield from results
    except TerminatedWorkerError as error:
        raise FaceverError("a worker process was killed, perhaps for want of memory; use fewer --workers") from error


@functools.cache
def _quiet_pool() -> None:
    """Suppress loky's harmless KeyError, printed when an interrupt ends its pool."""
    others = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (args.exc_type is KeyError and args.thread and args.thread.name == "ExecutorManagerThread"):
            others(args)

    threading.excepthook = hook


def _process_batch(sources: list[Source], job: Job) -> list[PhotoResult]:
    return list(_Flow(_pipeline_of_worker(job), BATCH)(sources))


@functools.lru_cache(maxsize=1)
def _pipeline_of_worker(job: Job) -> Pipeline:
    torch.set_num_threads(1)
    return Pipeline(job)


def _start_worker(parent: int) -> None:
    """End this process when its parent has ended: one that was killed can't tell its workers."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    if sys.platform == "win32":
        import ctypes

        synchronize, infinite = 0x00100000, 0xFFFFFFFF
        kernel = ctypes.windll.kernel32
        kernel.WaitForSingleObject(kernel.OpenProcess(synchronize, False, parent), infinite)
    else:
        while os.getppid() == parent:
            time.sleep(0.5)
    os._exit(1)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
