"""Workers for the tests of `--engine ray`: they tell what they embed, and die where a photograph's name says so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from facever.engines.worker import Task, Worker
from facever.errors import FaceverError
from facever.faces.pipeline import PhotoResult, Pipeline
from facever.faces.sources import Decoded


class Watched:
    """A pipeline that writes the name of each photograph, with its process, into a file before it begins."""

    def __init__(self, pipeline: Pipeline, log: Path) -> None:
        self.pipeline, self.job, self.log = pipeline, pipeline.job, log

    def __call__(self, images: Sequence[Decoded]) -> list[PhotoResult]:
        for image in images:
            with self.log.open("a") as log:
                log.write(f"{os.getpid()} {Path(image.name).name}\n")
            if "deadly" in image.name:
                os.kill(os.getpid(), signal.SIGKILL)
            if "slow" in image.name:
                time.sleep(0.5)
            if "odd" in image.name:
                raise ZeroDivisionError("an odd one")
        return self.pipeline(images)


class WatchedWorker(Worker):
    """Writes beside the dataset, into `embedded.log`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        watched: Any = Watched(self.pipeline, task.notes.parents[2] / "embedded.log")
        self.pipeline = watched


class LateWorker(WatchedWorker):
    """Waits until a file `go` is beside the dataset, from its second block on."""

    def __call__(self, block: pa.Table) -> pa.Table:
        go = self.task.notes.parents[2] / "go"
        blocks = getattr(self, "blocks", 0)
        self.blocks = blocks + 1
        while blocks and not go.exists():
            time.sleep(0.1)
        return super().__call__(block)


class RefusingWorker(Worker):
    """Finds its machine unfit."""

    def __init__(self, task: Task) -> None:
        raise FaceverError("this machine has no eyes; give it some")


class FaultyWorker(Worker):
    """Fails at everything, as where a GPU is lost."""

    def __call__(self, block: pa.Table) -> pa.Table:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
