"""Every pair of a set of photographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facever.errors import DataError
from facever.metrics.rates import Integers


def pairwise_cosines(
    embeddings: npt.NDArray[np.float32], identities: Integers
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the cosines of all genuine and of all impostor pairs.

    Holds all n (n - 1) / 2 cosines: 72 MB for 6,000 embeddings.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
        Unit vectors.
    identities : ndarray of shape (n,), int
        The person of each embedding.

    Returns
    -------
    genuine, impostor : ndarray of shape (g,) and (i,), float32
        In [-1, 1]; each pair i < j once, in ascending order of (i, j).

    Raises
    ------
    ValueError
        If the shapes don't fit.
    """
    identities = _checked(embeddings, identities)
    n = len(embeddings)
    counts = np.unique(identities, return_counts=True)[1]
    genuine = np.empty(int(np.sum(counts * (counts - 1) // 2)), np.float32)
    impostor = np.empty(n * (n - 1) // 2 - genuine.size, np.float32)
    filled_genuine = filled_impostor = 0
    block = 256  # rows; a block's product with all others stays small beside the result
    for start in range(0, n, block):
        rows = slice(start, start + block)
        cosines = np.clip(embeddings[rows] @ embeddings[start:].T, -1.0, 1.0)  # (rows, n - start)
        later = np.triu(np.ones(cosines.shape, dtype=bool), k=1)
        same = identities[rows, None] == identities[None, start:]
        of_block = cosines[later & same]
        genuine[filled_genuine : filled_genuine + of_block.size] = of_block
        filled_genuine += of_block.size
        of_block = cosines[later & ~same]
        impostor[filled_impostor : filled_impostor + of_block.size] = of_block
        filled_impostor += of_block.size
    return genuine, impostor


BINS = 1 << 16
SUSPICIOUS = 100


@dataclass(frozen=True, slots=True)
class AllPairs:
    """The scores of every pair, as histograms over [-1, 1].

    Attributes
    ----------
    genuine, impostor : int64 ndarray of shape (BINS,)
        Pairs by cosine; bin k holds [k, k + 1) * 2 / BINS - 1, the last one 1 as well.
    closest : list of (int, int, float)
        The impostor pairs with the highest cosines, highest first: label errors, twins, or the same photograph twice.
    farthest : list of (int, int, float)
        The genuine pairs with the lowest cosines, lowest first.
    """

    genuine: npt.NDArray[np.int64]
    impostor: npt.NDArray[np.int64]
    closest: list[tuple[int, int, float]]
    farthest: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def genuine_pairs(self) -> int:
        return int(self.genuine.sum())

    @property
    def impostor_pairs(self) -> int:
        return int(self.impostor.sum())

    def threshold_at_far(self, far: float) -> float:
        """The lowest bin edge at which the FAR is at most this.

        At most 2 / BINS = 3e-5 above the exact threshold.
        """
        accepted = np.cumsum(self.impostor[::-1])[::-1] / max(self.impostor_pairs, 1)  # FAR from each edge on
        allowed = np.flatnonzero(accepted <= far)
        bin_ = int(allowed[0]) if allowed.size else BINS
        return bin_ * 2 / BINS - 1

    def threshold_at_frr(self, frr: float) -> float:
        """The highest bin edge at which the FRR is at most this."""
        rejected = np.append(0, np.cumsum(self.genuine)) / max(self.genuine_pairs, 1)  # FRR at each edge
        return int(np.flatnonzero(rejected <= frr)[-1]) * 2 / BINS - 1

    def tar_at_far(self, far: float) -> float:
        """The share of genuine pairs at or above `threshold_at_far(far)`."""
        bin_ = round((self.threshold_at_far(far) + 1) * BINS / 2)
        return float(self.genuine[bin_:].sum() / max(self.genuine_pairs, 1))

    def scores(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """(cosines, counts, same) of the m bins that hold pairs, (m,) each; a bin's middle represents its cosines."""
        middles = (np.arange(BINS) + 0.5) * 2 / BINS - 1
        g, i = np.flatnonzero(self.genuine), np.flatnonzero(self.impostor)
        counts = np.concatenate([self.genuine[g], self.impostor[i]])
        return np.concatenate([middles[g], middles[i]]), counts, np.repeat([True, False], [len(g), len(i)])

    def tar_at(self, threshold: float) -> float:
        """TAR at a threshold, to the resolution of a bin."""
        bin_ = min(BINS, max(0, int(np.ceil((threshold + 1) * BINS / 2))))
        return float(self.genuine[bin_:].sum() / max(self.genuine_pairs, 1))

    def far_at(self, threshold: float) -> float:
        """FAR at a threshold, to the resolution of a bin."""
        bin_ = min(BINS, max(0, int(np.ceil((threshold + 1) * BINS / 2))))
        return float(self.impostor[bin_:].sum() / max(self.impostor_pairs, 1))


def all_pairs(
    embeddings: npt.NDArray[np.float32], identities: Integers, closest: int = SUSPICIOUS, block: int = 512
) -> AllPairs:
    """Score every pair i < j by blocked matrix products.

    Memory is two histograms and a block, whatever the number of pairs.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
        Unit vectors.
    identities : ndarray of shape (n,), int
    closest : int
        How many of the most similar impostor pairs to keep, and of the least similar genuine pairs.
    block : int
        Rows and columns of a product.

    Raises
    ------
    ValueError
        If the shapes don't fit.
    DataError
        If an embedding is not finite.
    """
    genuine, impostor = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    highest: list[tuple[int, int, float]] = []
    lowest: list[tuple[int, int, float]] = []
    for rows, columns, cosines, same, different in blocks(embeddings, identities, block):
        bins = bin_of(cosines)
        impostor += np.bincount(bins[different], minlength=BINS)
        highest = _closest(highest, np.where(different, cosines, -np.inf), rows.start, columns.start, closest)
        if same.any():
            genuine += np.bincount(bins[same], minlength=BINS)
            lowest = _closest(lowest, np.where(same, -cosines, -np.inf), rows.start, columns.start, closest)
    return AllPairs(genuine, impostor, highest, [(i, j, -negative) for i, j, negative in lowest])


def bin_of(cosines: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """The bin of each cosine; a cosine at or above an edge is never counted below it."""
    return np.clip(((cosines + 1) * (BINS / 2)).astype(np.int32), 0, BINS - 1)


Block = tuple[slice, slice, npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def blocks(embeddings: npt.NDArray[np.float32], identities: Integers, block: int = 512) -> Iterator[Block]:
    """Yield products of blocks of rows and columns: (rows, columns, cosines, genuine, impostor).

    Each pair i < j is marked as genuine or impostor in exactly one block; no photograph is paired with itself.

    Raises
    ------
    ValueError
        If the shapes don't fit.
    DataError
        If an embedding is not finite.
    """
    identities = _checked(embeddings, identities)
    n = len(embeddings)
    for top in range(0, n, block):
        rows = slice(top, min(top + block, n))
        for left in range(top, n, block):
            columns = slice(left, min(left + block, n))
            cosines = np.clip(embeddings[rows] @ embeddings[columns].T, -1.0, 1.0)  # (rows, columns)
            same = identities[rows, None] == identities[None, columns]
            if left > top:
                yield rows, columns, cosines, same, ~same
            else:
                upper = np.triu(np.ones(cosines.shape, bool), 1)
                yield rows, columns, cosines, same & upper, ~same & upper


def _checked(embeddings: npt.NDArray[np.float32], identities: Integers) -> Integers:
    """The identities as an array, after checks."""
    identities = np.asarray(identities)
    if embeddings.ndim != 2 or identities.shape != embeddings.shape[:1]:
        raise ValueError(f"shapes (n, d) and (n,) are needed, not {embeddings.shape} and {identities.shape}")
    broken = int(np.count_nonzero(~np.isfinite(embeddings).all(axis=1)))
    if broken:
        raise DataError(f"{broken:,} of {len(embeddings):,} embeddings are not finite; leave out their photographs")
    return identities


def _closest(
    kept: list[tuple[int, int, float]], cosines: npt.NDArray[np.float32], top: int, left: int, count: int
) -> list[tuple[int, int, float]]:
    """The `count` highest of those kept and of a block, highest first."""
    if not count:
        return kept
    least = kept[-1][2] if len(kept) == count else -np.inf
    rows, columns = np.nonzero(cosines > least)
    if not len(rows):
        return kept
    found = cosines[rows, columns]
    if len(found) > count:
        best = np.argpartition(-found, count)[:count]
        rows, columns, found = rows[best], columns[best], found[best]
    new = [(top + int(r), left + int(c), float(v)) for r, c, v in zip(rows, columns, found, strict=True)]
    return sorted(kept + new, key=lambda pair: -pair[2])[:count]
