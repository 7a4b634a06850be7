"""Commands as processes that are killed, and what they leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(
    folder: Path, *arguments: str | Path, program: tuple[str, ...] = ("-m", "facever"), cache: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command, in a session and process group of its own, with its cache in `folder` unless told otherwise."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache or folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "FACEVER_QUIET": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with_group(process, signal.SIGKILL)
        process.wait()


def with_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to all processes that the command started; False where there are none."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def all_end(process: subprocess.Popen[bytes], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while with_group(process, 0):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def of_session(leader: int) -> dict[int, str]:
    """The command lines of a session's processes, by process: those that left the group, too, as Ray's workers do."""
    found = subprocess.run(["ps", "-ww", "-e", "-o", "sid=,pid=,args="], capture_output=True, text=True).stdout
    lines = (line.split(None, 2) for line in found.splitlines())
    return {int(pid): " ".join(title) for sid, pid, *title in lines if sid == str(leader)}
