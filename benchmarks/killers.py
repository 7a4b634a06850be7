"""Ways to kill a run: as a whole, and where it runs on Ray, when it is at work, or worker by worker."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from processes import of_session, with_group

LOOK, LONGEST = 0.1, 600.0  # seconds between looks at the processes, and until one must be at work
# Titles that Ray gives to its processes: of one that embeds, of one that does so now, and of those that belong to the
# machine, with which the whole cluster ends.
EMBEDS, AT_WORK = "ray::MapWorker(MapBatches(Worker))", "ray::MapWorker(MapBatches(Worker)).submit"
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
WORKERS_A_RUN = 4  # killed, at most


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that an undisturbed run takes to start, and from then on."""

    start: float
    work: float


# Kills processes of a run, at most so many; tells which.
Killer = Callable[[subprocess.Popen[bytes], random.Random, Pace, int], list[str]]


def kill_all(process: subprocess.Popen[bytes], draw: random.Random, pace: Pace, most: int) -> list[str]:
    return _kill(process, pace.work * draw.uniform(0.2, 1.1), "all")


def kill_ray(process: subprocess.Popen[bytes], draw: random.Random, pace: Pace, most: int) -> list[str]:
    """Four times of five when it embeds: Ray takes longer to start than a few photographs do."""
    if draw.random() < 0.2:
        return _kill(process, pace.start * draw.uniform(0.2, 1.0), "starting")
    until_work(process)
    return _kill(process, pace.work * draw.uniform(0.0, 1.1), "working")


def _kill(process: subprocess.Popen[bytes], seconds: float, what: str) -> list[str]:
    if _ends(process, seconds):
        return []
    with_group(process, signal.SIGKILL)
    return [what] if process.wait() == -signal.SIGKILL else []


def kill_workers(process: subprocess.Popen[bytes], draw: random.Random, pace: Pace, most: int) -> list[str]:
    """One process of the run after another: every other time one that embeds. The cluster and the command live on."""
    killed: list[str] = []
    _until(process, lambda: bool(_workers(process)))
    while len(killed) < min(most, WORKERS_A_RUN) and not _ends(process, draw.uniform(0.0, pace.work)):
        workers = _workers(process)
        embedding = [pid for pid, title in workers.items() if title.startswith(EMBEDS)]
        chosen = embedding if embedding and draw.random() < 0.5 else list(workers)
        with suppress(ProcessLookupError, IndexError):  # it ended by itself; there is none at the moment
            pid = draw.choice(chosen)
            os.kill(pid, signal.SIGKILL)
            killed.append(re.sub(r"ray::(\w+).*", r"\1", workers[pid]))
    return killed


def until_work(process: subprocess.Popen[bytes]) -> None:
    """Wait until a worker of Ray embeds, or the run ends without."""
    _until(process, lambda: AT_WORK in _workers(process).values())


def _workers(process: subprocess.Popen[bytes]) -> dict[int, str]:
    return {
        pid: title
        for pid, title in of_session(process.pid).items()
        if title.startswith("ray::") and not title.startswith(AGENTS)
    }


def _until(process: subprocess.Popen[bytes], true: Callable[[], bool]) -> None:
    end = time.monotonic() + LONGEST
    while process.poll() is None and not true():
        if time.monotonic() > end:
            raise TimeoutError(of_session(process.pid))
        time.sleep(LOOK)


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the run ends within so many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
