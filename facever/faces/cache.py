"""Embeddings kept by the content of the photograph and of the weights, so that a second evaluation takes seconds."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.faces.pipeline import Job, Photograph
from facever.faces.sources import Source, content

# Changes whenever the same photograph and weights would give another embedding.
VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What an evaluation needs of a photograph: its embedding (d,), norm, the detector's score, and whether a face was
    found or the centre crop stands in for it."""

    embedding: NDArray[np.float32]
    norm: float
    score: float
    found: bool

    @classmethod
    def of(cls, photograph: Photograph) -> Embedded | None:
        """From the first face that the rule chose, or the centre crop; None where there is neither."""
        face = photograph.faces[0] if photograph.faces else photograph.centre
        if face is None or face.embedding is None or face.norm is None:
            return None
        return cls(face.embedding, face.norm, face.face.score, bool(photograph.faces))


def default_cache_file() -> Path:
    """Below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facever" / "embeddings.sqlite"


def keys_of(photographs: Iterable[Source], job: Job, weights_hash: str) -> Iterator[str | None]:
    """The key of each photograph: its bytes, the weights, and what the job does; None where it can't be read."""
    settings = f"{VERSION} {weights_hash} {job.rule} {job.centre_fallback} {job.min_face} {job.thresholds}"
    prefix = hashlib.sha256(settings.encode()).digest()
    for photograph in photographs:
        try:
            yield hashlib.sha256(prefix + hashlib.sha256(content(photograph)).digest()).hexdigest()
        except OSError:
            yield None


class EmbeddingCache:
    """A SQLite file of embeddings. One that can't be used is as good as an empty one: it is there to save time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, keys: Sequence[str | None]) -> dict[str, Embedded]:
        """Those of the keys that are there."""
        try:
            with closing(self._open()) as database:
                found = {}
                for key in {key for key in keys if key is not None}:
                    row = database.execute(
                        "SELECT embedding, norm, score, found FROM e WHERE key = ?", (key,)
                    ).fetchone()
                    if row is not None:
                        found[key] = Embedded(np.frombuffer(row[0], np.float32), row[1], row[2], bool(row[3]))
                return found
        except (sqlite3.Error, OSError):
            return {}

    def put(self, embedded: dict[str, Embedded]) -> bool:
        """Add or replace; False where the file can't be written."""
        rows = [
            (key, e.embedding.astype(np.float32).tobytes(), float(e.norm), float(e.score), int(e.found))
            for key, e in embedded.items()
        ]
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS e (key TEXT PRIMARY KEY, embedding, norm, score, found)")
                database.executemany("INSERT OR REPLACE INTO e VALUES (?, ?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError):
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=10)
