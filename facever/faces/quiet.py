"""Decoders write to stderr and warn, without naming the photograph: muted here."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from pathlib import Path
from types import TracebackType

# Else Python prints what Pillow logs on a strange TIFF wherever a program has set up no logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class _QuietPillow:
    """Mutes Pillow's warnings (odd EXIF, large pictures) while any thread is inside.

    `warnings.catch_warnings` replaces the filters of the whole process, and threads that leave it in another order
    than they entered restore the wrong ones. So the first one in sets them and the last one out restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(kind, error, trace)


quiet_pillow = _QuietPillow()


class _MutedStderr:
    """Mutes what libtiff writes to the process's stderr, which names no file. One thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._was = -1

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._was = os.dup(2)
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        except OSError:  # no stderr
            self._was = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was >= 0:
            os.dup2(self._was, 2)
            os.close(self._was)
        self._lock.release()


muted_stderr = _MutedStderr()
