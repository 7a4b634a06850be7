"""Photographs from files through the pipeline's stages, in one process or spread over several."""

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
from facever.faces.pipeline import ImageArray, Job, Photograph, Stages
from facever.faces.sources import Source, read

BATCH = 16
# A batch also ends after so many pixels, so that memory is bounded for large photographs too.
BATCH_PIXELS = 24_000_000
READ_AHEAD = 4
# Starting worker processes takes seconds; below so many photographs one process is done sooner.
FEW = 200

Decoded = tuple[str, ImageArray | ImageError, float]


def process_files(paths: Iterable[Source], job: Job, workers: int | None = None) -> Iterator[Photograph]:
    """Run the job over photographs; results come in the order of the paths, as soon as they are there.

    Parameters
    ----------
    workers : int, optional
        Processes; by default all cores that this process may use, or none of its own for few photographs. On CUDA one
        process feeds the device.

    Raises
    ------
    FaceverError
        If a worker was killed, most likely for want of memory.
    """
    paths = list(paths)
    if workers is None:
        from joblib import cpu_count

        # Processes of one thread each beat threads: most of a cascade is too small to share out.
        workers = cpu_count() if len(paths) >= FEW else 1
    if job.device != "cpu" or workers <= 1:
        yield from _in_this_process(paths, job)
    else:
        yield from _in_workers(paths, job, workers)


def _in_this_process(paths: list[Source], job: Job) -> Iterator[Photograph]:
    stages = Stages(job)
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for batch in _batches(paths, BATCH if job.device == "cpu" else 4 * BATCH):
            yield from _by_pixels(_read_ahead(batch, pool), stages)


def _decode(source: Source) -> Decoded:
    """The photograph's name, its pixels or why there are none, and the seconds that took."""
    start = time.perf_counter()
    name, image = read(source)
    return name, image, time.perf_counter() - start


def _read_ahead(batch: list[Source], pool: ThreadPoolExecutor) -> Iterator[Decoded]:
    """Decode a few photographs ahead of their use; not the whole batch, which may be large photographs."""
    waiting: deque[Future[Decoded]] = deque()
    for source in batch:
        waiting.append(pool.submit(_decode, source))
        if len(waiting) > READ_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _in_workers(paths: list[Source], job: Job, workers: int) -> Iterator[Photograph]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="3*n_jobs", batch_size=1)
    tasks = (delayed(_process_batch)(batch, job) for batch in _batches(paths, BATCH))
    _quiet_pool()
    try:
        for photographs in parallel(tasks):
            yield from photographs
    except TerminatedWorkerError as error:
        raise FaceverError("a worker process was killed, perhaps for want of memory; use fewer --workers") from error


@functools.cache
def _quiet_pool() -> None:
    """Leave out the traceback of loky's own thread, whose books lose an entry when an interrupt ends its pool."""
    others = threading.excepthook

    def hook(told: threading.ExceptHookArgs) -> None:
        if not (told.exc_type is KeyError and told.thread and told.thread.name == "ExecutorManagerThread"):
            others(told)

    threading.excepthook = hook


def _process_batch(paths: list[Source], job: Job) -> list[Photograph]:
    return list(_by_pixels(map(_decode, paths), _stages_of_worker(job)))


@functools.lru_cache(maxsize=1)
def _stages_of_worker(job: Job) -> Stages:
    torch.set_num_threads(1)
    return Stages(job)


def _by_pixels(images: Iterable[Decoded], stages: Stages) -> Iterator[Photograph]:
    """Run the stages over parts of a batch that hold a bounded number of pixels."""
    part: list[Decoded] = []
    pixels = 0
    for decoded in images:
        part.append(decoded)
        pixels += 0 if isinstance(decoded[1], ImageError) else decoded[1].shape[0] * decoded[1].shape[1]
        if pixels > BATCH_PIXELS:
            yield from _run(part, stages)
            part, pixels = [], 0
    yield from _run(part, stages)


def _run(part: list[Decoded], stages: Stages) -> Iterator[Photograph]:
    done = stages([(name, image) for name, image, _ in part])
    for photograph, (_, _, seconds) in zip(done, part, strict=True):
        photograph.seconds["decode"] = seconds
        yield photograph


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
