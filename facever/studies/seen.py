"""What the pipeline saw of photographs, and which pairs of them `verify` would decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import reading
from facever.faces.doubts import doubts_of
from facever.faces.face import Face
from facever.faces.looks import PARTS
from facever.faces.pipeline import PhotoResult
from facever.question import Question
from facever.studies.runs import save_arrays

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seen:
    """The first face of each of n photographs.

    Attributes
    ----------
    embeddings : float32 ndarray of shape (n, d)
        Unit length; zeros where no face was found.
    boxes, landmarks : float32 ndarrays of shape (n, 4) and (n, 5, 2)
        As in `facever.faces.face.Face`; NaN where no face was found.
    found, good : bool ndarrays of shape (n,)
        Whether there is a face, and whether nothing speaks against an answer from it.
    covered : bool ndarray of shape (n, parts)
        Which of `facever.faces.looks.PARTS` something covers.
    doubts : n lists of str
        What speaks against an answer; not kept in files.
    """

    embeddings: NDArray[np.float32]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    found: Bools
    good: Bools
    covered: Bools
    doubts: list[list[str]] = field(default_factory=list)

    @classmethod
    def of(cls, question: Question, results: Sequence[PhotoResult], size: int) -> Seen:
        """Results of embedding; `size` is d."""
        n, info = len(results), question.info
        embeddings, covered = np.zeros((n, size), np.float32), np.zeros((n, len(PARTS)), bool)
        boxes, landmarks = np.full((n, 4), np.nan, np.float32), np.full((n, 5, 2), np.nan, np.float32)
        doubts: list[list[str]] = []
        for i, result in enumerate(results):
            doubts.append([])
            for face in result.faces[:1]:
                quality = None if info.quality is None else info.quality.percentile(face.norm or 0.0)
                doubts[i] = doubts_of(face, result.size, info, quality)
                embeddings[i], boxes[i], landmarks[i] = face.embedding, face.face.box, face.face.landmarks
                covered[i] = [face.looks is not None and part in face.looks.covered for part in PARTS]
        found = np.array([bool(result.faces) for result in results], bool)
        good = found & np.array([not each for each in doubts], bool)
        return cls(embeddings, boxes, landmarks, found, good, covered, doubts)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, rows: Any) -> Seen:
        """Some of the photographs, by indices, a mask or a slice; without their doubts in words."""
        return Seen(*(getattr(self, name)[rows] for name in _ARRAYS))

    def face(self, row: int) -> Face:
        """The face of a photograph; its score is not kept."""
        return Face(self.boxes[row], self.landmarks[row], 1.0)

    def about(self) -> dict[str, Any]:
        """Numbers of photographs, and among those with a face the share that is too poor, by reason, or covered."""
        n = int(self.found.sum())
        reasons = Counter(doubt.partition(" (")[0] for doubts in self.doubts for doubt in doubts)
        return {
            "photographs": n,
            "without_face": len(self) - n,
            "too_poor": float((self.found & ~self.good).sum() / max(n, 1)),
            "reasons": {reason: count / n for reason, count in reasons.most_common()},
            "covered": float((self.found & self.covered.any(axis=1)).sum() / max(n, 1)),
        }

    def save(self, path: Path) -> None:
        save_arrays(path, {name: getattr(self, name) for name in _ARRAYS}, private=True)

    @classmethod
    def load(cls, path: Path) -> Seen:
        """Raises DataError if the file is missing or broken."""
        with reading(path, f"delete {path.parent}.json to repeat it"), np.load(path) as file:
            return cls(*(file[name] for name in _ARRAYS))


_ARRAYS = tuple(each.name for each in fields(Seen) if each.name != "doubts")


def answerable(a: Seen, b: Seen) -> Bools:
    """Of n pairs, row by row: whether neither photograph is too poor, and no part of the face is covered in both."""
    return a.good & b.good & ~(a.covered & b.covered).any(axis=1)


def answerable_grid(a: Seen, b: Seen) -> Bools:
    """The same of each photograph of `a` with each of `b`: (n, m)."""
    both = a.covered.astype(np.float32) @ b.covered.T.astype(np.float32) > 0
    return np.asarray(a.good[:, None] & b.good[None] & ~both)
