"""Stopping a training by signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_signal() -> Iterator[list[int]]:
    """A list that SIGINT or SIGTERM makes non-empty; the current step can finish first."""
    received: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(name, lambda number, frame: received.append(number)) for name in names]
    except ValueError:  # not in the main thread: signals are the caller's
        yield received
        return
    try:
        yield received
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
