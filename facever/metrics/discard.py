"""Error versus discard: the FRR of the genuine pairs that remain after discarding those of lowest quality.

P. Grother, E. Tabassi, *Performance of Biometric Quality Measures*, 2007. The threshold stays that of all pairs.
Discarding at random leaves the FRR unchanged in expectation. Calibration discards photographs (`RemainingPairs`),
the study of the norm discards pairs (`DiscardCurve`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from facever.metrics.bootstrap import REPLICATES, Interval, Weights, interval, resampled_people
from facever.metrics.rates import Bools, Integers
from facever.scoring import decide

Floats = npt.NDArray[np.float64]
ROWS = 512  # of one person's product of embeddings at a time


@dataclass(frozen=True, slots=True)
class RemainingPairs:
    """Genuine pairs that remain after each cut, by person.

    Attributes
    ----------
    pairs, rejected : int64 ndarrays of shape (people, cuts)
        Pairs that remain, and those of them that the threshold rejects.
    """

    pairs: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.int64]

    def frr(self) -> Floats:
        """FRR after each cut, (cuts,); NaN where no pair remains."""
        return _ratio(self.rejected.sum(axis=0), self.pairs.sum(axis=0))

    def saved_interval(self, cut: int, replicates: int = REPLICATES, seed: int = 0) -> Interval:
        """95 % interval, by a bootstrap over identities, of the FRR before the first cut minus that after `cut`.

        Cuts and threshold stay fixed; NaN where no replicate has pairs.
        """
        saved = np.empty(replicates)
        for i, drawn in enumerate(resampled_people(len(self.pairs), replicates, seed)):
            frr = _ratio(drawn @ self.rejected, drawn @ self.pairs)
            saved[i] = frr[0] - frr[cut]
        return interval(saved)


def remaining_pairs_of_people(
    embeddings: npt.NDArray[np.float32], identities: Integers, quality: Floats, cuts: Floats, threshold: float
) -> RemainingPairs:
    """All genuine pairs of a set of photographs, in bounded memory.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : ndarray of shape (n,), int
    quality : float64 ndarray of shape (n,)
    cuts : float64 ndarray of shape (cuts,), ascending
        A photograph remains while its quality is at or above the cut.
    threshold : float
        A pair with a lower cosine is rejected.
    """
    level = _cuts_outlived(quality, cuts)
    order = np.argsort(identities, kind="stable")
    parts = []
    for own in np.split(order, np.flatnonzero(np.diff(identities[order])) + 1):  # the photographs of each person
        counts = np.zeros((2, len(cuts) + 1), np.int64)
        for start in range(0, len(own), ROWS):
            rows, columns = own[start : start + ROWS], own[start:]
            i, j = np.triu_indices(len(rows), 1, len(columns))
            rejected = ~decide(np.clip(embeddings[rows] @ embeddings[columns].T, -1.0, 1.0)[i, j], threshold)
            lower = np.minimum(level[rows][i], level[columns][j])
            counts += [np.bincount(which, minlength=len(cuts) + 1) for which in (lower, lower[rejected])]
        parts.append(counts)
    return _remaining_pairs(np.array(parts, np.int64))


def remaining_pairs_of_list(rejected: Bools, people: Integers, quality: Floats, cuts: Floats) -> RemainingPairs:
    """The same for n listed genuine pairs.

    Parameters
    ----------
    rejected : bool ndarray of shape (n,)
    people : ndarray of shape (n,), int from 0
        The person of each pair.
    quality : float64 ndarray of shape (n,)
        The lower of the two photographs'.
    """
    _, who = np.unique(people, return_inverse=True)
    count, width = int(who.max(initial=-1)) + 1, len(cuts) + 1
    cell = who * width + _cuts_outlived(quality, cuts)
    counts = [np.bincount(cell[kind], minlength=count * width) for kind in (np.ones(len(who), bool), rejected)]
    return _remaining_pairs(np.stack(counts).reshape(2, count, width).swapaxes(0, 1))


def _cuts_outlived(quality: Floats, cuts: Floats) -> npt.NDArray[np.int64]:
    """Number of cuts at or below each quality."""
    return np.searchsorted(cuts, quality, side="right").astype(np.int64)


def _remaining_pairs(counts: npt.NDArray[np.int64]) -> RemainingPairs:
    """From counts of pairs by the number of cuts that they survive, (people, 2, cuts + 1)."""
    # After the k-th cut (from 0), pairs remain that survive more than k.
    left = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    return RemainingPairs(left[:, 0], left[:, 1])


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


# Shares of the pairs discarded at which a curve is drawn; its area is taken over the first half.
CURVE_SHARES = np.round(np.arange(0.0, 0.951, 0.05), 2)
AREA_UP_TO = 0.5


@dataclass(frozen=True, slots=True)
class DiscardCurve:
    """The error-versus-discard curve of genuine pairs at a fixed threshold.

    Parameters
    ----------
    quality : float64 ndarray of shape (n,)
        Of each pair: the lower of its two photographs'.
    rejected : bool ndarray of shape (n,)
    """

    quality: Floats
    rejected: NDArray[np.bool_]

    def curve(self, weights: Weights | None = None) -> Floats:
        """FRR of weighted pairs after discarding each of `CURVE_SHARES`, (20,).

        Of pairs of equal quality, the fraction that is needed remains, with the FRR of all of them.
        """
        w = np.ones(len(self.quality)) if weights is None else weights
        levels, level = np.unique(-self.quality, return_inverse=True)  # best first
        total = np.cumsum(np.bincount(level, w, len(levels)))
        errors = np.cumsum(np.bincount(level, w * self.rejected, len(levels)))
        kept = (1 - CURVE_SHARES) * total[-1]
        # Linear between levels: part of a tie has its share of the errors.
        found = np.interp(kept, np.append(0.0, total), np.append(0.0, errors))
        return np.asarray(found / np.maximum(kept, 1e-12))


def gain_of(curve: Floats) -> Floats:
    """How far curves (..., 20) lie below random discard, averaged over the first half of the shares: (...)."""
    return np.asarray(curve[..., 0] - curve[..., CURVE_SHARES <= AREA_UP_TO].mean(axis=-1))
