"""The vectors most alike to each of some others: exact, by blocked matrix products, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from facever.gallery.faces import Block, RowNumbers, Vectors

# Cosines in memory at a time: 64 MB.
CELLS = 1 << 24


def nearest(
    queries: Vectors, blocks: Iterable[Block], k: int, excluded: Mapping[int, RowNumbers] | None = None
) -> tuple[RowNumbers, NDArray[np.float32]]:
    """The k rows with the highest cosines for each query, by descending cosine, equal ones by their number.

    Parameters
    ----------
    queries : float32 ndarray of shape (q, d), unit length
    blocks : iterable of (int64 (m,), float32 (m, d))
        Numbers and unit vectors.
    k : int
    excluded : mapping from the index of a query to int64 ndarray
        Rows that it can't have.

    Returns
    -------
    rows : int64 ndarray of shape (q, k)
        -1 where there are fewer rows.
    cosines : float32 ndarray of shape (q, k)
        In [-1, 1]; -inf where there is no row.
    """
    excluded = excluded or {}
    rows = np.full((len(queries), k), -1, np.int64)
    best = np.full((len(queries), k), -np.inf, np.float32)
    step = max(1, CELLS // max(len(queries), 1))
    for numbers, vectors in blocks:
        for start in range(0, len(numbers), step):
            here = numbers[start : start + step]
            cosines = np.clip(queries @ vectors[start : start + step].T, -1.0, 1.0)  # (q, m)
            for query, out in excluded.items():
                cosines[query, np.isin(here, out)] = -np.inf
            gaining = np.flatnonzero(cosines.max(axis=1) > best[:, -1])
            if len(gaining):
                _merge(rows, best, gaining, here, cosines[gaining])
    return rows, best


def _merge(
    rows: RowNumbers, best: NDArray[np.float32], gaining: RowNumbers, here: RowNumbers, cosines: NDArray[np.float32]
) -> None:
    k = best.shape[1]
    if cosines.shape[1] > k:
        top = np.sort(np.argpartition(-cosines, k - 1, axis=1)[:, :k], axis=1)  # in the order of the rows
        cosines = np.take_along_axis(cosines, top, axis=1)
        found = here[top]
    else:
        found = np.broadcast_to(here, cosines.shape)
    found = np.where(np.isfinite(cosines), found, -1)
    every, scores = np.hstack([rows[gaining], found]), np.hstack([best[gaining], cosines])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows[gaining] = np.take_along_axis(every, order, axis=1)
    best[gaining] = np.take_along_axis(scores, order, axis=1)
