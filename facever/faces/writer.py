"""A folder that one process at a time writes to, and what all that it holds was made with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from facever.errors import DataError, OutputError, reading
from facever.files import write_json

MADE = ".facever.json"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock a folder. Raises OutputError where another process holds it, which the message names."""
    lock = FileLock(folder / ".lock", timeout=0, mode=0o600)
    writer = folder / ".writer"
    try:
        lock.acquire()
    except Timeout:
        process = writer.read_text() if writer.exists() else "unknown"
        raise OutputError(f"{folder}: another facever writes to it (process {process}); wait for its end") from None
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error.strerror}); choose another place") from error
    try:
        writer.write_text(str(os.getpid()))
        yield
    finally:
        with suppress(OSError):
            writer.unlink()
        lock.release()


def check_made(path: Path, made: dict[str, Any]) -> None:
    """Write down what a folder is made with; raise DataError where it was made with something else."""
    if not path.exists():
        write_json(path, made)
        return
    with reading(path, "remove the dataset, or choose another --out"):
        was = dict(json.loads(path.read_text(encoding="utf-8")))
    changed = [key for key in {**was, **made} if was.get(key) != made.get(key)]
    if changed:
        what = " and ".join(changed)
        raise DataError(f"{path.parent}: its rows were made with another {what}; choose another --out, or remove it")
