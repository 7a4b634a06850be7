"""Files through the pipeline, in one process or several."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import torch

from facever.errors import FaceverError, ImageError
from facever.faces.pipeline import Decoded, Job, PhotoResult, Pipeline
from facever.faces.sources import Source, read

BATCH = 16
# A batch also ends after so many pixels, which bounds memory for large photographs.
BATCH_PIXELS = 24_000_000
READ_AHEAD = 4
# Worker processes take seconds to start; below so many photographs one process finishes sooner.
FEW = 200


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
    if workers is None:
        from joblib import cpu_count

        # Processes of one thread each beat threads: most of a cascade is too small to share out.
        workers = cpu_count() if len(sources) >= FEW else 1
    if job.device != "cpu" or workers <= 1:
        yield from _in_this_process(sources, job)
    else:
        yield from _in_workers(sources, job, workers)


def _in_this_process(sources: list[Source], job: Job) -> Iterator[PhotoResult]:
    pipeline = Pipeline(job)
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for batch in _batches(sources, BATCH if job.device == "cpu" else 4 * BATCH):
            yield from _by_pixels(_read_ahead(batch, pool), pipeline)


def _decode(source: Source) -> Decoded:
    start = time.perf_counter()
    name, image = read(source)
    return Decoded(name, image, time.perf_counter() - start)


def _read_ahead(batch: list[Source], pool: ThreadPoolExecutor) -> Iterator[Decoded]:
    """Decode a few photographs ahead of their use; not the whole batch, which may be large photographs."""
    waiting: deque[Future[Decoded]] = deque()
    for source in batch:
        waiting.append(pool.submit(_decode, source))
        if len(waiting) > READ_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _in_workers(sources: list[Source], job: Job, workers: int) -> Iterator[PhotoResult]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="3*n_jobs", batch_size=1)
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
    return list(_by_pixels(map(_decode, sources), _pipeline_of_worker(job)))


@functools.lru_cache(maxsize=1)
def _pipeline_of_worker(job: Job) -> Pipeline:
    torch.set_num_threads(1)
    return Pipeline(job)


def _by_pixels(images: Iterable[Decoded], pipeline: Pipeline) -> Iterator[PhotoResult]:
    """Run the pipeline over parts of a batch that hold a bounded number of pixels."""
    part: list[Decoded] = []
    pixels = 0
    for decoded in images:
        part.append(decoded)
        pixels += 0 if isinstance(decoded.image, ImageError) else decoded.image.shape[0] * decoded.image.shape[1]
        if pixels > BATCH_PIXELS:
            yield from pipeline(part)
            part, pixels = [], 0
    yield from pipeline(part)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
