"""The crop cache: every photograph of a data set is detected and aligned once, for all trainings to come.

Two files in a folder: `crops-*.bin`, raw uint8 pixels, mapped into memory, and `index.json`, which says where each
photograph's crop stands and from which file (size and time of change) it was cut. Photographs that changed are cut
anew, the others kept; a run that was interrupted keeps what it had.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import IdentityFolder
from facever.errors import DataError, OutputError
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.files import user_cache, write_json
from facever.weights.alignment import Alignment

# Changes whenever the same photograph would give another crop: then old caches no longer count.
CUTTER = 1


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
    missing = [i for i in range(len(relative)) if not store.knows(relative[i], stamps[i])]
    if missing:
        job = Job(output=padded, device=device, rule="center")
        store.begin()
        try:
            done = process_files([data.paths[i] for i in missing], job, workers)
            for count, (i, photograph) in enumerate(zip(missing, done, strict=True), 1):
                crop = photograph.faces[0].crop if photograph.faces else None
                store.add(relative[i], stamps[i], crop, "; ".join(photograph.problems))
                progress(count, len(missing))
        finally:
            store.commit()  # also when interrupted

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


class _Store:
    """The two files of one cache folder.

    A file of pixels never changes once an index names it: new crops go to a new file, behind copies of the old ones, so
    that trainings that read the old file at the same time are not disturbed.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], shape: tuple[int, int, int]) -> None:
        self.folder, self.shape = folder, shape
        self.settings = json.loads(json.dumps(settings))  # as it comes back from the index
        self.entries: dict[str, dict[str, Any]] = {}
        self.pixels: Path | None = None
        self.count = 0
        self._read_index()

    def _read_index(self) -> None:
        try:
            index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
            pixels = self.folder / index["pixels"]
            if index["settings"] == self.settings and pixels.stat().st_size == index["count"] * math.prod(self.shape):
                self.entries, self.pixels, self.count = index["entries"], pixels, index["count"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no cache, or a broken one: start over

    def knows(self, name: str, stamp: list[int]) -> bool:
        return name in self.entries and self.entries[name]["stamp"] == stamp

    def begin(self) -> None:
        """Open a new file of pixels with copies of the old ones."""
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._old, self.pixels = self.pixels, self.folder / f"crops-{uuid.uuid4().hex[:8]}.bin"
            self._file = self.pixels.open("wb")
            if self._old is not None:
                with self._old.open("rb") as source:
                    shutil.copyfileobj(source, self._file, 1 << 24)

    def add(self, name: str, stamp: list[int], crop: NDArray[np.uint8] | None, problem: str) -> None:
        row = None
        if crop is not None:
            with self._writing():
                self._file.write(crop.tobytes())
            row, self.count = self.count, self.count + 1
        self.entries[name] = {"stamp": stamp, "row": row, "problem": problem}

    def commit(self) -> None:
        """Make the new file the cache's, and drop the old one."""
        assert self.pixels is not None
        with self._writing():
            self._file.close()
        index = {"settings": self.settings, "pixels": self.pixels.name, "count": self.count, "entries": self.entries}
        write_json(self.folder / "index.json", index)
        if self._old is not None:
            with suppress(OSError):  # in use elsewhere
                self._old.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the crop cache can't be written ({error.strerror}); name another with --cache"
            ) from error

    def crops(self) -> NDArray[np.uint8]:
        if self.pixels is None or not self.count:
            return np.empty((0, *self.shape), np.uint8)
        return np.memmap(self.pixels, np.uint8, "r", shape=(self.count, *self.shape))
