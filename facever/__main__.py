"""`python -m facever` is `facever`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading

from facever.cli import main


def run() -> None:
    """Run the command line in a process of its own, from its start to its end."""
    # Importing torch makes half a million objects, none of them garbage.
    gc.set_threshold(20_000, 10, 10)
    try:
        main()
    except SystemExit as end:
        _end(end.code)
        raise


def _end(code: object) -> None:
    """End the process without taking it apart, which takes a quarter of a second with torch in it.

    Returns where the usual end has more to do: wait for threads, or tell that output is lost.
    """
    if threading.active_count() > 1 or not isinstance(code, int | None):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    atexit._run_exitfuncs()
    os._exit(code or 0)


if __name__ == "__main__":
    run()
