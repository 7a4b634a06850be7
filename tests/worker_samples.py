"""What worker processes do in tests: they import it by its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from facever.faces.pipeline import Job, PhotoResult, Pipeline
from facever.faces.sources import Source, read


def doubling(deadly: Any = None, broken: Any = None) -> Callable[[list[Any]], list[Any]]:
    """Doubles items; `deadly` ends the process, `broken` raises, and a float is waited for."""

    def function(items: list[Any]) -> list[Any]:
        for item in items:
            if item == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if item == broken:
                raise ValueError(f"{item} is broken")
            if isinstance(item, float):
                time.sleep(item)
        return [2 * item for item in items]

    return function


def deadly_pipeline(job: Job, pixels: int) -> Callable[[list[Source]], list[PhotoResult]]:
    """The pipeline, which ends the process on a picture of so many pixels."""
    pipeline = Pipeline(job)

    def function(sources: list[Source]) -> list[PhotoResult]:
        decoded = [read(source) for source in sources]
        if any(each.size is not None and each.size[0] * each.size[1] == pixels for each in decoded):
            os.kill(os.getpid(), signal.SIGKILL)
        return pipeline(decoded)

    return function
