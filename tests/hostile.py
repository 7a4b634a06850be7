"""Damaged copies of valid files, a process of its own that reads them, and the count of how that ended."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS = 2.0  # of processor time: what else the machine does is not counted
HANGS = 60.0  # on the clock
MEMORY = 1 << 30
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
SPECIAL = ("fifo", "socket", "device", "loop", "folder", "missing")
WAYS = ("bits", "bytes", "cut", "spliced", "doubled", "sizes")


def damaged(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> tuple[str, bytes]:
    """A way of damage, and the content after it; `others` are what pieces are spliced in from."""
    data = bytearray(content)
    way = rng.choice(WAYS)
    # Headers and trailers say more than what they hold.
    near_end = rng.choice((len(data), min(len(data), 64), min(len(data), 512)))
    at = rng.randrange(near_end) if rng.random() < 0.7 else len(data) - 1 - rng.randrange(near_end)
    if way == "bits":
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[at] ^= 1 << rng.randrange(8)
            at = rng.randrange(near_end)
    elif way == "bytes":
        length = rng.choice((1, 2, 4, 16))
        data[at : at + length] = rng.randbytes(length)
    elif way == "cut":
        data = data[:at]
    elif way == "spliced":
        other = rng.choice([content, *others])
        start = rng.randrange(len(other))
        data[at:] = other[start:]
    elif way == "doubled":
        end = rng.randrange(at, len(data) + 1)
        data[at:at] = data[at:end] * rng.choice((1, 1, 3, 50))
    else:
        size = rng.choice((1, 2, 4, 4, 8))
        number = rng.choice(EXTREMES) & ((1 << 8 * size) - 1)
        written = number.to_bytes(size, rng.choice(("little", "big")))
        if rng.random() < 0.2 and (digits := [i for i, each in enumerate(data) if 48 <= each <= 57]):
            at, written = rng.choice(digits), str(number).encode()
        data[at : at + len(written)] = written
    return way, bytes(data)


@dataclass(frozen=True, slots=True)
class Case:
    """A file of a kind of files, and its content after damage."""

    kind: str
    way: str
    file: str
    content: bytes
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class End:
    """How reading a case ended: "read", "refused", or anything else, which is a defect; in processor seconds."""

    how: str
    seconds: float = 0.0
    bytes: int = 0


@dataclass(slots=True)
class Tally:
    """How many were tried, and how they ended.

    Attributes
    ----------
    lost : list of str
        What went wrong, by case.
    slowest, largest : float
        Processor seconds, and megabytes of memory, of the case that took most.
    """

    tried: int = 0
    read: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: float = 0.0

    def add(self, name: str, end: End) -> None:
        self.tried += 1
        self.read += end.how == "read"
        self.refused += end.how == "refused"
        if end.how not in ("read", "refused"):
            self.lost.append(f"{name}: {end.how}")
        self.slowest = max(self.slowest, round(end.seconds, 2))
        self.largest = max(self.largest, round(end.bytes / 1e6, 1))

    def row(self) -> dict[str, Any]:
        return {"survived": self.read + self.refused, **asdict(self), "lost": len(self.lost)}


def tallied(cases: Iterable[tuple[str, Case]], reader: Reader) -> dict[str, Tally]:
    """Read all cases; a tally for each kind. The names say how to make a case again."""
    tallies: dict[str, Tally] = {}
    for name, case in cases:
        tallies.setdefault(case.kind, Tally()).add(name, reader(case))
    return tallies


class Reader:
    """A process that reads cases, and another one in its place where one kills it, or never ends.

    Parameters
    ----------
    prepare : callable
        What makes the valid files in a folder, and returns how to read each kind there. It runs in the process.
    hangs : float
        Seconds on the clock after which a case counts as one that never ends.
    """

    def __init__(self, prepare: Callable[[Path], dict[str, Callable[[], object]]], hangs: float = HANGS) -> None:
        self._prepare, self._hangs = prepare, hangs
        self._process: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._line: Connection | None = None

    def __call__(self, case: Case) -> End:
        line = self._line or self._start()
        line.send(case)
        try:
            if line.poll(self._hangs):
                return line.recv()
            how = f"hangs for {self._hangs:g} s"
        except EOFError:
            self._process.join(10)
            how = f"kills the process ({self._process.exitcode})"
        self.close()
        return End(how)

    def _start(self) -> Connection:
        self._folder = tempfile.TemporaryDirectory()  # here, since a process that is killed removes nothing
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(
            target=_read_all, args=(theirs, self._prepare, Path(self._folder.name)), daemon=True
        )
        self._process.start()
        theirs.close()
        self._line.recv()  # all is prepared
        return self._line

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


@contextmanager
def reading_by(prepare: Callable[[Path], dict[str, Callable[[], object]]], hangs: float = HANGS) -> Iterator[Reader]:
    reader = Reader(prepare, hangs)
    try:
        yield reader
    finally:
        reader.close()


def _read_all(line: Connection, prepare: Callable[[Path], dict[str, Callable[[], object]]], folder: Path) -> None:
    """What the process does: read cases until the line is closed."""
    place, printed = folder / "files", folder / "printed"
    place.mkdir()
    readers = prepare(place)
    whole = _contents(place)
    output = os.open(printed, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for read in readers.values():  # imports, and what is allocated once, are no case's
        read()
    line.send(True)
    with suppress(EOFError):
        while True:
            case = line.recv()
            _put(place / case.file, case)
            end = _measured(readers[case.kind], case.seconds)
            sys.stdout.flush()
            sys.stderr.flush()
            if printed.stat().st_size:
                end = End(f"prints {printed.read_bytes()[:200]!r}", end.seconds, end.bytes)
                os.truncate(printed, 0)
            _restore(place, whole)
            line.send(end)


def _contents(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def _put(path: Path, case: Case) -> None:
    """Write the content, or put something in the file's place that is no file."""
    if case.way not in SPECIAL:
        path.write_bytes(case.content)
        return
    path.unlink()
    if case.way == "fifo":
        os.mkfifo(path)
    elif case.way == "socket":
        was = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
        os.chdir(was)
    elif case.way == "device":
        path.symlink_to("/dev/zero")
    elif case.way == "loop":
        path.symlink_to(path.name)
    elif case.way == "folder":
        path.mkdir()


def _restore(place: Path, whole: dict[Path, bytes]) -> None:
    """Put back what a reader or a case changed."""
    for path in place.rglob("*"):
        if path.is_dir() and path in whole:
            path.rmdir()
        elif path.is_symlink() or not (path.is_dir() or path in whole) or not (path.is_dir() or path.is_file()):
            path.unlink()
    for path, content in whole.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _measured(read: Callable[[], object], most: float) -> End:
    from facever.errors import FaceverError

    before = _reset_peak()
    start = time.process_time()
    try:
        read()
        how = "read"
    except FaceverError as error:
        told = str(error)
        how = "refused" if 0 < len(told) <= 1000 and "\n" not in told else f"is refused by {told[:200]!r}"
    except Exception as error:
        how = f"raises {type(error).__name__} ({str(error)[:200]})"
    seconds = time.process_time() - start
    memory = _peak() - before
    if how in ("read", "refused") and seconds > most:
        how = f"takes {seconds:.1f} s"
    if how in ("read", "refused") and memory > MEMORY:
        how = f"takes {memory / 1e6:.0f} MB"
    return End(how, seconds, memory)


def _reset_peak() -> int:
    """Have Linux count the peak from now on; the memory in use, in bytes. Elsewhere 0."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return 0


def _status(name: str) -> int:
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith(f"{name}:"):
            return int(row.split()[1]) * 1024
    return 0
