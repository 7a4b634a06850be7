"""The crop cache: every photograph of a data set is detected and aligned once, for all trainings to come.

Two files in a folder, which only grow: `crops.bin`, raw uint8 pixels, mapped into memory, and `index.jsonl`, which
says where each photograph's crop stands and from which file (size and time of change) it was cut. Crops are kept as
they come, so a run that is killed loses few; photographs that changed are cut anew. One process cuts at a time, the
others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from facever.caches import private_folder, trim, user_cache
from facever.datasets.identities import IdentityFolder
from facever.errors import DataError, OutputError
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.weights.alignment import Alignment

# Changes whenever the same photograph would give another crop: then old caches no longer count.
CUTTER = 2
# Photographs between two commits of their crops.
FLUSH_EVERY = 32


@dataclass(frozen=True, slots=True)
class CropSet:
    """Crops with labels.

    Attributes
    ----------
    crops : uint8 ndarray of shape (n, H + 2 margin, W + 2 margin, 3), RGB, mapped from disk
    rows : int64 ndarray of shape (m,)
        Which crops belong to this set.
    identities : list of m str
    paths : list of m str
        Relative to the data set.
    alignment : Alignment
        Of the network; the crops show `margin` more pixels on every side, for augmentation.
    problems : list of str
        Photographs without a crop.
    sources : mapping from str to str
        The source of each identity; "" for those that it lacks.
    """

    crops: NDArray[np.uint8]
    rows: NDArray[np.int64]
    identities: list[str]
    paths: list[str]
    alignment: Alignment
    margin: int
    problems: list[str]
    sources: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, names: Sequence[str]) -> CropSet:
        """The part of these identities."""
        wanted = set(names)
        keep = [i for i, name in enumerate(self.identities) if name in wanted]
        return CropSet(
            self.crops,
            self.rows[keep],
            [self.identities[i] for i in keep],
            [self.paths[i] for i in keep],
            self.alignment,
            self.margin,
            self.problems,
            self.sources,
        )

    def row_sources(self) -> list[str]:
        """The source of each crop."""
        return [self.sources.get(name, "") for name in self.identities]

    def padded(self, positions: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """The crops with their margin: (k, H + 2 margin, W + 2 margin, 3)."""
        return self.crops[self.rows[positions]]

    def digest(self) -> str:
        """SHA-256 of every crop, in hexadecimal."""
        digest = hashlib.sha256()
        for i in range(0, len(self), 256):
            digest.update(self.padded(slice(i, i + 256)).tobytes())
        return digest.hexdigest()

    def inner(self, positions: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """The crops as inference cuts them, without the margin: (k, H, W, 3)."""
        m, a = self.margin, self.alignment
        return np.ascontiguousarray(self.padded(positions)[:, m : m + a.height, m : m + a.width])


def default_cache_folder() -> Path:
    """Default folder of crop caches."""
    return user_cache() / "crops"


def cut_crops(
    data: IdentityFolder,
    alignment: Alignment,
    margin: int,
    cache: Path,
    device: str = "cpu",
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CropSet:
    """The crops of all photographs of `data`, from the cache where it has them.

    Parameters
    ----------
    cache : Path
        Folder of all caches; each data set and alignment has one folder inside.
    progress : callable
        Called with the number of missing photographs done, and their total.

    Raises
    ------
    DataError
        If no photograph gave a crop.
    OutputError
        If the cache can't be written.
    """
    padded = alignment.padded(margin)
    settings = {"cutter": CUTTER, "alignment": padded.to_json(), "data": str(data.root.resolve())}
    folder = cache / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    relative = [str(path.relative_to(data.root)) for path in data.paths]
    stamps = [_stamp(path) for path in data.paths]

    store = _Store(folder, settings, (padded.height, padded.width, 3))
    if any(not store.knows(*each) for each in zip(relative, stamps, strict=True)):
        with store.appending():
            # Only now: another process may have cut them while this one waited.
            missing = [i for i in range(len(relative)) if not store.knows(relative[i], stamps[i])]
            job = Job(output=padded, device=device, rule="center")
            done = process_files([data.paths[i] for i in missing], job, workers)
            for count, (i, photograph) in enumerate(zip(missing, done, strict=True), 1):
                crop = photograph.faces[0].crop if photograph.faces else None
                store.add(relative[i], stamps[i], crop, "; ".join(photograph.problems))
                progress(count, len(missing))
    trim(cache, keep=folder)

    entries = [store.entries[name] for name in relative]
    keep = [i for i, entry in enumerate(entries) if entry["row"] is not None]
    if not keep:
        raise DataError(f"{data.root}: no face was found in any of its {len(relative)} photographs")
    return CropSet(
        store.crops(),
        np.array([entries[i]["row"] for i in keep], np.int64),
        [data.identities[i] for i in keep],
        [relative[i] for i in keep],
        alignment,
        margin,
        [entry["problem"] for entry in entries if entry["row"] is None],
    )


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _shorten(file: BinaryIO, size: int) -> None:
    """Cut off what a killed process left behind, and go to the end."""
    if file.seek(0, os.SEEK_END) > size:
        file.seek(size)
        file.truncate()


class _Store:
    """The two files of one cache folder. What they hold never changes, so trainings may read while another one adds."""

    def __init__(self, folder: Path, settings: dict[str, Any], shape: tuple[int, int, int]) -> None:
        self.folder, self.shape = folder, shape
        self.settings = json.loads(json.dumps(settings))  # as it comes back from the index
        self.pixels, self.index = folder / "crops.bin", folder / "index.jsonl"
        self._read_index()

    def _read_index(self) -> None:
        """Read the index up to its first line that is not whole, or whose crop is missing."""
        self.entries: dict[str, dict[str, Any]] = {}
        self.count = self._end = 0  # crops, and bytes of the index, that are sound
        with suppress(OSError, ValueError, KeyError, TypeError):  # no cache, or a broken one
            present = self.pixels.stat().st_size // math.prod(self.shape)
            with self.index.open("rb") as lines:
                head = next(lines, b"")
                if json.loads(head)["settings"] != self.settings:
                    return
                self._end = len(head)
                for line in lines:
                    entry = json.loads(line)
                    row = entry["row"]
                    if not line.endswith(b"\n") or not (row is None or row == self.count < present):
                        return
                    self.entries[entry["path"]] = {"stamp": entry["stamp"], "row": row, "problem": entry["problem"]}
                    self.count += row is not None
                    self._end += len(line)
            os.utime(self.index)  # for `trim`

    def knows(self, name: str, stamp: list[int]) -> bool:
        return name in self.entries and self.entries[name]["stamp"] == stamp

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Within it, crops can be added; one process at a time."""
        with self._writing():
            private_folder(self.folder)
            lock = FileLock(self.folder / "lock")
            with lock:
                self._read_index()
                with self._opened(self.pixels) as self._pixels, self._opened(self.index) as self._index:
                    _shorten(self._pixels, self.count * math.prod(self.shape))
                    _shorten(self._index, self._end)
                    if not self._end:
                        self._index.write(json.dumps({"settings": self.settings}).encode() + b"\n")
                    self._lines: list[bytes] = []
                    try:
                        yield
                    finally:
                        self._flush()

    def _opened(self, path: Path) -> BinaryIO:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b")

    def add(self, name: str, stamp: list[int], crop: NDArray[np.uint8] | None, problem: str) -> None:
        row = None
        if crop is not None:
            self._pixels.write(crop.tobytes())
            row, self.count = self.count, self.count + 1
        self.entries[name] = {"stamp": stamp, "row": row, "problem": problem}
        self._lines.append(json.dumps({"path": name, **self.entries[name]}).encode() + b"\n")
        if len(self._lines) >= FLUSH_EVERY:
            self._flush()

    def _flush(self) -> None:
        """Pixels first: a line stands for a crop that is there."""
        self._pixels.flush()
        self._index.write(b"".join(self._lines))
        self._index.flush()
        self._lines = []

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the crop cache can't be written ({error.strerror}); name another with --cache"
            ) from error

    def crops(self) -> NDArray[np.uint8]:
        if not self.count:
            return np.empty((0, *self.shape), np.uint8)
        return np.memmap(self.pixels, np.uint8, "r", shape=(self.count, *self.shape))
