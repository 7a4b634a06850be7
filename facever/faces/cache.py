"""Embeddings by the content of photograph and weights, so that a second evaluation takes seconds."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facever.caches import cache_limit, private_folder, user_cache
from facever.faces.doubts import doubts_of_face
from facever.faces.images import ImageArray
from facever.faces.pipeline import Job, PhotoResult
from facever.faces.sources import Source, content_sha256
from facever.weights.records import WeightsId

# Changes whenever the same photograph and weights would give another row.
VERSION = 7


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
    doubtful : bool
        Whether the face is too poor for an answer, by what holds for any weights, or there is none.
    crop : bytes or None
        The aligned crop as JPEG, if the job kept it.
    """

    embedding: NDArray[np.float32]
    norm: float
    score: float
    found: bool
    doubtful: bool
    crop: bytes | None = None

    @classmethod
    def of(cls, result: PhotoResult) -> PhotoEmbedding | None:
        """From the first face that the rule chose, or the center crop; None where there is neither."""
        face = result.faces[0] if result.faces else result.center
        if face is None or face.embedding is None or face.norm is None:
            return None
        crop = None if face.crop is None else jpeg(face.crop)
        doubtful = not result.faces or bool(doubts_of_face(face, result.size))
        return cls(face.embedding, face.norm, face.face.score, bool(result.faces), doubtful, crop)


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
    own = f"{job.rule} {job.center_fallback} {job.mirrored} {job.strict} {job.detector}"
    settings = f"{VERSION} {weights.sha256} {precision} {own}"
    for photograph in photographs:
        sha256 = content_sha256(photograph)
        yield None if sha256 is None else hashlib.sha256(f"{settings} {sha256}".encode()).hexdigest()


class EmbeddingCache:
    """A SQLite file of embeddings. It is there to save time: a broken row counts as missing, a broken file as empty."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, keys: Sequence[str | None], with_crop: bool = False) -> dict[str, PhotoEmbedding]:
        """The rows of these keys that are there, without their crops; `with_crop`: only of those that have one."""
        query = "SELECT embedding, norm, score, found, doubtful, sum FROM e4 WHERE key = ?"
        query += " AND crop IS NOT NULL" if with_crop else ""
        found = {}
        with self._forgiving(), closing(self._open()) as database:
            for key in {key for key in keys if key is not None}:
                row = database.execute(query, (key,)).fetchone()
                if row is not None and row[5] == _sum(key, *row[:5]):
                    vector = np.frombuffer(row[0], np.float32)
                    found[key] = PhotoEmbedding(vector, row[1], row[2], bool(row[3]), bool(row[4]))
        return found

    def crop(self, key: str) -> bytes | None:
        """The crop of a key as JPEG, if it is there."""
        with self._forgiving(), closing(self._open()) as database:
            row = database.execute("SELECT crop, crop_sum FROM e4 WHERE key = ?", (key,)).fetchone()
            if row is not None and row[1] == _sum(key, row[0]):
                return row[0]
        return None

    def put(self, embedded: dict[str, PhotoEmbedding]) -> bool:
        """Add or replace rows; False where the file can't be written. The oldest ones go when it is too large."""
        rows = []
        for key, e in embedded.items():
            values = (
                e.embedding.astype(np.float32).tobytes(),
                float(e.norm),
                float(e.score),
                int(e.found),
                int(e.doubtful),
            )
            rows.append((key, *values, _sum(key, *values), e.crop, _sum(key, e.crop)))
        for _ in range(2):  # a broken file is removed, and then there is a new one
            with self._forgiving(writing=True):
                private_folder(self.file.parent)
                with closing(self._open()) as database, database:
                    database.execute(f"CREATE TABLE IF NOT EXISTS e4 ({_COLUMNS})")
                    database.executemany("INSERT OR REPLACE INTO e4 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                if self.get(list(embedded)).keys() == embedded.keys():
                    self._trim()
                    return True
                self.file.unlink()  # damage in its index, which SQLite does not notice
        return False

    def _trim(self) -> None:
        """Drop the oldest half of the rows of a file above the limit."""
        if self.file.stat().st_size > cache_limit():
            with closing(self._open()) as database:
                (last,) = database.execute("SELECT rowid FROM e4 ORDER BY rowid DESC").fetchone()
                (first,) = database.execute("SELECT rowid FROM e4 ORDER BY rowid").fetchone()
                with database:
                    database.execute("DELETE FROM e4 WHERE rowid <= ?", ((first + last) // 2,))
                database.execute("VACUUM")

    @contextmanager
    def _forgiving(self, writing: bool = False) -> Iterator[None]:
        """Errors of SQLite end the block; a file that is damaged, or not SQLite's, is removed."""
        try:
            yield
        except sqlite3.OperationalError as error:  # in use, read-only, full, or, for readers, without the table
            if writing and error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # its header, or its table is another
                self._remove()
        except (sqlite3.DatabaseError, UnicodeError):
            self._remove()
        except OSError:
            pass

    def _remove(self) -> None:
        with suppress(OSError):
            self.file.unlink()

    def _open(self) -> sqlite3.Connection:
        with suppress(OSError):
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would let others read it
        return sqlite3.connect(self.file, timeout=10)


_COLUMNS = "key TEXT PRIMARY KEY, embedding, norm, score, found, doubtful, sum, crop, crop_sum"


def _sum(*values: object) -> bytes:
    """A checksum of a row's values: SQLite has none of its own."""
    return hashlib.sha256(repr(values).encode()).digest()[:16]
