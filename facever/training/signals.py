"""How a training is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_signal() -> Iterator[list[int]]:
    """A list that a SIGINT or SIGTERM makes non-empty, so that the step in hand is finished first."""
    received: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(name, lambda number, frame: received.append(number)) for name in names]
    except ValueError:  # not in the main thread: the caller minds the signals
        yield received
        return
    try:
        yield received
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
