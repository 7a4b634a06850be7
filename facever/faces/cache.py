"""Embeddings by the content of photograph and weights, so that a second evaluation takes seconds."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facever.faces.images import ImageArray
from facever.faces.pipeline import Job, PhotoResult
from facever.faces.sources import Source, content
from facever.files import user_cache
from facever.weights.records import WeightsId

# Changes whenever the same photograph and weights would give another row.
VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class PhotoEmbedding:
    """What an evaluation needs of a photograph.

    Attributes
    ----------
    embedding : float32 ndarray of shape (d,), unit length
    norm : float
        Feature norm.
    score : float
        The detector's score; 0 for a center crop.
    found : bool
        Whether a face was found; else this is the center crop's.
    crop : bytes or None
        The aligned crop as JPEG, if the job kept it.
    """

    embedding: NDArray[np.float32]
    norm: float
    score: float
    found: bool
    crop: bytes | None = None

    @classmethod
    def of(cls, result: PhotoResult) -> PhotoEmbedding | None:
        """From the first face that the rule chose, or the center crop; None where there is neither."""
        face = result.faces[0] if result.faces else result.center
        if face is None or face.embedding is None or face.norm is None:
            return None
        crop = None if face.crop is None else jpeg(face.crop)
        return cls(face.embedding, face.norm, face.face.score, bool(result.faces), crop)


def jpeg(crop: ImageArray) -> bytes:
    """A crop as the content of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def default_cache_file() -> Path:
    """Default file of the embeddings of evaluations."""
    return user_cache() / "embeddings.sqlite"


def keys_of(photographs: Iterable[Source], job: Job, weights: WeightsId, precision: str) -> Iterator[str | None]:
    """The key of each photograph: its bytes, the weights, and what the job does; None where it can't be read."""
    settings = f"{VERSION} {weights.sha256} {precision} {job.rule} {job.center_fallback} {job.detector}"
    prefix = hashlib.sha256(settings.encode()).digest()
    for photograph in photographs:
        try:
            yield hashlib.sha256(prefix + hashlib.sha256(content(photograph)).digest()).hexdigest()
        except OSError:
            yield None


class EmbeddingCache:
    """A SQLite file of embeddings. A broken one counts as empty: it is there to save time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, keys: Sequence[str | None], with_crop: bool = False) -> dict[str, PhotoEmbedding]:
        """The rows of these keys that are there, without their crops; `with_crop`: only of those that have one."""
        query = "SELECT embedding, norm, score, found FROM e2 WHERE key = ?"
        query += " AND crop IS NOT NULL" if with_crop else ""
        try:
            with closing(self._open()) as database:
                found = {}
                for key in {key for key in keys if key is not None}:
                    row = database.execute(query, (key,)).fetchone()
                    if row is not None:
                        found[key] = PhotoEmbedding(np.frombuffer(row[0], np.float32), row[1], row[2], bool(row[3]))
                return found
        except (sqlite3.Error, OSError):
            return {}

    def crop(self, key: str) -> bytes | None:
        """The crop of a key as JPEG, if it is there."""
        try:
            with closing(self._open()) as database:
                row = database.execute("SELECT crop FROM e2 WHERE key = ?", (key,)).fetchone()
                return None if row is None else row[0]
        except (sqlite3.Error, OSError):
            return None

    def put(self, embedded: dict[str, PhotoEmbedding]) -> bool:
        """Add or replace rows; False where the file can't be written."""
        rows = [
            (key, e.embedding.astype(np.float32).tobytes(), float(e.norm), float(e.score), int(e.found), e.crop)
            for key, e in embedded.items()
        ]
        columns = "key TEXT PRIMARY KEY, embedding, norm, score, found, crop"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute(f"CREATE TABLE IF NOT EXISTS e2 ({columns})")
                database.executemany("INSERT OR REPLACE INTO e2 VALUES (?, ?, ?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError):
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=10)
