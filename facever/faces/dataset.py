"""A dataset of embeddings that grows: a folder of Parquet parts, which readers of Parquet take for one table.

    faces.parquet/
      part-000001.parquet   rows as in `facever.faces.parquet`
      part-000002.parquet
      .facever.json         what all rows were made with

A part appears whole, every so many photographs: a kill loses little, and the next run embeds what is new or changed.
Where a photograph was embedded again, its rows leave the older part once the newer one is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from facever.caches import private_folder
from facever.errors import DataError, OutputError
from facever.faces.folders import Folder, is_undecodable
from facever.faces.names import Naming, name_below
from facever.faces.parallel import left_out
from facever.faces.parquet import EmbeddingCounts, photograph_rows, write_table
from facever.faces.parts import Stamp, drop, merge, photographs_of, read_part, restamp, stamp_of
from facever.faces.pipeline import PhotoResult
from facever.faces.sources import content_sha256
from facever.faces.writer import MADE, check_made, sole_writer
from facever.weights.records import Quality

# A part ends after so many photographs, or so many seconds, and small parts are merged when they are so many.
PHOTOGRAPHS_A_PART = 1024
SECONDS_A_PART = 30.0
SMALL_PARTS, SMALL_ROWS = 16, 16_000

Process = Callable[[list[Any]], Iterable[PhotoResult | pa.Table]]

_PART = "part-{:06d}.parquet"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A photograph in the dataset: the number of its part, and what `facever.faces.parts.InPart` says."""

    part: int
    stamp: Stamp | None
    sha256: str | None
    faces: int


@dataclass(frozen=True, slots=True)
class Update:
    """What was done: photographs embedded, those there unchanged, and names of photographs that are gone."""

    embedded: int
    unchanged: int
    vanished: list[str]


class EmbeddingDataset:
    """A dataset that is open for writing; see `open_dataset`."""

    def __init__(
        self,
        folder: Path,
        root: Path,
        columns: pa.Schema,
        quality: Quality | None,
        repair: bool = False,
        naming: Naming = name_below,
    ) -> None:
        self.folder, self.root, self.columns, self.quality, self._naming = folder, root, columns, quality, naming
        self.entries: dict[str, _Entry] = {}
        self._rows_of: dict[int, int] = {}  # by part
        self.repaired: list[str] = []
        self._pending: list[list[dict[str, Any]]] = []  # the rows of each photograph
        self._flushed = time.monotonic()
        for path in sorted(folder.glob("part-*.parquet")):
            number = int(path.stem.removeprefix("part-"))
            try:
                rows, photographs = read_part(path, check=repair)
            except DataError:
                if not repair:
                    raise
                path.unlink()
                self.repaired.append(path.name)
                continue
            self._rows_of[number] = rows
            self._enter({name: _Entry(number, *values) for name, values in photographs.items()})

    def _enter(self, found: Mapping[str, _Entry]) -> None:
        """Add photographs of a part; those that an older part holds, too, leave that one."""
        stale: dict[int, list[str]] = {}
        for name in found.keys() & self.entries.keys():
            stale.setdefault(self.entries[name].part, []).append(name)
        self.entries.update(found)
        for number, names in stale.items():
            self._drop(number, names)

    def _drop(self, number: int, names: list[str]) -> None:
        self._rows_of[number] = drop(self._path(number), names)
        if not self._rows_of[number]:
            del self._rows_of[number]

    def update(self, found: Folder, process: Process) -> Update:
        """Embed what is new or changed, by size and time of change, then by content; what a URI names doesn't change.

        Parameters
        ----------
        found : Folder
            The photographs that are there now.
        process : callable
            From the paths and URIs of some photographs to their results, or to tables of the dataset's rows, which are
            written as they come; what came before an exception is kept.

        Raises
        ------
        OutputError
            If a part can't be written.
        """
        broken = left_out(found)
        seen = {self._name(each.source) for each in broken}
        unknown = [each for each in broken if self._stamp_of(self._name(each.source)) is not None]
        wanted: list[Path | str] = []
        stamps, touched = {}, {}
        for path in found.paths:
            name, stamp = self._name(path), stamp_of(path)
            seen.add(name)
            if stamp is not None and self._stamp_of(name) == stamp:
                continue
            if stamp is not None and self._has_content(name, stamp, path):
                touched[name] = stamp
            else:
                wanted.append(path)
                stamps[name] = stamp  # from before it is read: a change meanwhile is seen by the next run
        uris = {self._name(uri): uri for uri in found.uris}
        seen.update(uris)
        wanted += [uri for name, uri in uris.items() if name not in self.entries or self.entries[name].sha256 is None]
        self._restamp(touched)
        self._add(chain(unknown, process(wanted)), stamps)
        unseen = tuple(f"{self._name(each.source)}/" for each in found.errors)  # folders that can't be read
        vanished = sorted(name for name in self.entries.keys() - seen if not name.startswith(unseen))
        if unseen and self._naming is not name_below:  # a hash does not tell what lies in them
            vanished = []
        return Update(len(wanted), len(found.paths) + len(found.uris) - len(wanted), vanished)

    def _name(self, source: Path | str) -> str:
        return self._naming(str(source), self.root)

    def _stamp_of(self, name: str) -> Stamp | None:
        """Of a photograph in the dataset; (-1, -1), which is none, where it is not there."""
        return self.entries[name].stamp if name in self.entries else (-1, -1)

    def _has_content(self, name: str, stamp: Stamp, path: Path) -> bool:
        """Whether a photograph with another time is the one in the dataset."""
        entry = self.entries.get(name)
        if entry is None or entry.stamp is None or entry.stamp[0] != stamp[0] or entry.sha256 is None:
            return False
        return entry.sha256 == content_sha256(path)

    def _restamp(self, stamps: Mapping[str, Stamp]) -> None:
        """Write new times of photographs into their parts."""
        for number in sorted({self.entries[name].part for name in stamps}):
            restamp(self._path(number), stamps)
        for name, stamp in stamps.items():
            self.entries[name] = replace(self.entries[name], stamp=stamp)

    def _add(self, results: Iterable[PhotoResult | pa.Table], stamps: dict[str, Stamp | None]) -> None:
        try:
            for result in results:
                if isinstance(result, pa.Table):
                    self._write(result)
                    continue
                stamp = stamps.pop(self._name(result.source), None) if result.readable else None
                self._pending.append(
                    photograph_rows(result, self.root, self.quality, stamp or (None, None), self._naming)
                )
                late = time.monotonic() - self._flushed > SECONDS_A_PART
                if late or len(self._pending) >= PHOTOGRAPHS_A_PART:
                    self._flush()
        finally:
            self._flush()

    def remove(self, names: Iterable[str]) -> None:
        """Remove the rows of some photographs."""
        by_part: dict[int, list[str]] = {}
        for name in names:
            by_part.setdefault(self.entries.pop(name).part, []).append(name)
        for number, of_part in by_part.items():
            self._drop(number, of_part)

    def counts(self) -> EmbeddingCounts:
        """Of the whole dataset."""
        counts = EmbeddingCounts()
        for name, entry in self.entries.items():
            counts.photographs += 1
            counts.faces += entry.faces
            counts.with_face += entry.faces > 0
            counts.without_face += entry.faces == 0 and entry.sha256 is not None
            counts.unreadable += entry.sha256 is None
            counts.undecodable += entry.sha256 is None and is_undecodable(Path(name))
        return counts

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._pending:
            self._write(pa.Table.from_pylist(list(chain.from_iterable(self._pending)), self.columns))
            self._pending = []

    def _write(self, table: pa.Table) -> None:
        number = self._next()
        write_table(self._path(number), table)
        self._rows_of[number] = len(table)
        self._enter({name: _Entry(number, *values) for name, values in photographs_of(table).items()})
        self._merge()

    def _merge(self) -> None:
        """Put small parts together, so that a long run does not end in thousands of them."""
        small = sorted(number for number, rows in self._rows_of.items() if rows < SMALL_ROWS)
        if len(small) < SMALL_PARTS:
            return
        number = self._next()
        rows = merge([self._path(each) for each in small], self._path(number))
        for each in small:  # where this ends early, the next run finds these photographs in the newer part
            self._path(each).unlink()
            del self._rows_of[each]
        self._rows_of[number] = rows
        merged = set(small)
        for name, entry in self.entries.items():
            if entry.part in merged:
                self.entries[name] = replace(entry, part=number)

    def _next(self) -> int:
        return max(self._rows_of, default=0) + 1

    def _path(self, number: int) -> Path:
        return self.folder / _PART.format(number)


@contextmanager
def open_dataset(
    folder: Path,
    root: Path,
    columns: pa.Schema,
    quality: Quality | None,
    made: Mapping[str, Any],
    repair: bool = False,
    naming: Naming = name_below,
) -> Iterator[EmbeddingDataset]:
    """Open or create a dataset; one process at a time.

    Parameters
    ----------
    root : Path
        The folder that the photographs' paths are relative to.
    columns : Schema
        `facever.faces.parquet.schema`, with metadata.
    quality : Quality, optional
        The weights' record of quality.
    made : mapping
        What the rows depend on besides the photographs; the same for all of a dataset, as JSON.
    repair : bool
        Remove damaged parts, which `repaired` then names, so that their photographs are embedded again.
    naming : callable
        What the column `path` holds; the same for all of a dataset.

    Raises
    ------
    OutputError
        If it can't be written, is something else, was made with something else, or another process writes to it.
    DataError
        If a part is damaged.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; name a folder to write, or use --one-file")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MADE).exists():
            raise OutputError(f"{folder} holds other files; name a new folder")
        private_folder(folder)
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error.strerror}); choose another place") from error
    with sole_writer(folder):
        check_made(folder / MADE, json.loads(json.dumps(made)))
        yield EmbeddingDataset(folder, root, columns, quality, repair, naming)
