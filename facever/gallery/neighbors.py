"""The faces most alike to each face, and how many pairs of all are alike: exact, by blocked matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.gallery.faces import RowNumbers, Vectors

# Cosines in memory at a time: 64 MB.
CELLS = 1 << 24


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest neighbors of n faces.

    Attributes
    ----------
    faces : int64 ndarray of shape (n, k)
        By descending cosine; itself never.
    cosines : float32 ndarray of shape (n, k)
    alike : float
        The share of all n (n - 1) / 2 pairs with a cosine at or above the one that was asked for; 0 without a pair.
    """

    faces: RowNumbers
    cosines: NDArray[np.float32]
    alike: float


def neighbors(vectors: Vectors, k: int, threshold: float) -> Neighbors:
    """The min(k, n - 1) nearest neighbors of each of n unit vectors (n, d), and the share of pairs >= threshold."""
    n = len(vectors)
    k = min(k, n - 1)
    faces, cosines = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    alike = 0
    step = max(1, CELLS // n)
    for start in range(0, n, step):
        here = np.arange(start, min(start + step, n))
        block = np.clip(vectors[here] @ vectors.T, -1.0, 1.0)  # (m, n)
        block[np.arange(len(here)), here] = -np.inf
        alike += int((block >= threshold).sum())
        if not k:
            continue
        top = np.argpartition(block, n - k, axis=1)[:, n - k :]
        found = np.take_along_axis(block, top, axis=1)
        order = np.lexsort((top, -found), axis=1)
        faces[here], cosines[here] = np.take_along_axis(top, order, 1), np.take_along_axis(found, order, 1)
    return Neighbors(faces, cosines, alike / max(n * (n - 1), 1))
