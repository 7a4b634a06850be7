"""Photographs degraded and then embedded, in this process or in several."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facever.errors import FaceverError
from facever.faces.face import Face
from facever.faces.images import load_image
from facever.faces.memory import keep_freed_memory
from facever.faces.parallel import BATCH
from facever.faces.pipeline import Job, PhotoResult, Pipeline
from facever.faces.sources import Decoded
from facever.faces.workers import FEW, Workers
from facever.studies.conditions import Condition, conditions

# A photograph, and its face before it is degraded; None where it is left untouched.
Item = tuple[Path, Face | None]


def embedded(items: Sequence[Item], condition: str, job: Job, workers: int | None = None) -> Iterator[PhotoResult]:
    """The result for each photograph under a condition of `facever.studies.conditions`, in order.

    Each result has one face: the one nearest to where the untouched one was, or to the picture's middle.

    Parameters
    ----------
    workers : int, optional
        As for `facever.faces.parallel.process_files`.

    Raises
    ------
    ImageError
        If a photograph can't be read.
    """
    if workers is None:
        from joblib import cpu_count

        workers = cpu_count() if len(items) >= FEW else 1
    tasks = [list(items[i : i + BATCH]) for i in range(0, len(items), BATCH)]
    if job.device != "cpu" or workers <= 1:
        step = _Step(Pipeline(job), conditions()[condition])
        for task in tasks:
            yield from step(task)
    else:
        pool: Workers[Item, PhotoResult] = Workers(workers, _worker, (job, condition), _lost)
        yield from pool(tasks)


def _worker(job: Job, condition: str) -> Callable[[list[Item]], list[PhotoResult]]:
    keep_freed_memory()
    torch.set_num_threads(1)
    return _Step(Pipeline(job), conditions()[condition])


def _lost(item: Item) -> PhotoResult:
    cause = "reading it ended the process, perhaps for want of memory"
    raise FaceverError(f"{item[0]}: {cause}; use fewer --workers")


class _Step:
    """Reads, degrades and embeds some photographs."""

    def __init__(self, pipeline: Pipeline, condition: Condition) -> None:
        self.pipeline, self.condition = pipeline, condition

    def __call__(self, items: list[Item]) -> list[PhotoResult]:
        pictures = []
        for path, face in items:
            image = load_image(path)
            if face is not None:
                # Its own draws, the same whichever other photographs there are.
                generator = np.random.default_rng(zlib.crc32(path.name.encode()))
                image = self.condition.change(image, face, generator)
            pictures.append(Decoded(str(path), image))
        results = self.pipeline(pictures, "all")
        return [
            _nearest(result, face if self.condition.cut else None)
            for result, (_, face) in zip(results, items, strict=True)
        ]


def _nearest(result: PhotoResult, before: Face | None) -> PhotoResult:
    """With the face alone that is nearest to where it was before, or to the middle."""
    width, height = result.size or (0, 0)
    place = np.array([width / 2, height / 2]) if before is None else _middle(before)
    nearest = sorted(result.faces, key=lambda each: float(np.linalg.norm(_middle(each.face) - place)))
    return replace(result, faces=nearest[:1])


def _middle(face: Face) -> NDArray[np.float32]:
    return np.asarray((face.box[:2] + face.box[2:]) / 2)
