"""Error versus discard: how many genuine pairs are still rejected once the poorest photographs are left out.

P. Grother, E. Tabassi, *Performance of Biometric Quality Measures*, 2007. The threshold stays that of all pairs, so
that nothing changes but which photographs are compared. Photographs left out at random leave the FNMR as it is, in
expectation: every genuine pair is as likely to stay.
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
    """Genuine pairs that are left after each cut, by person.

    Attributes
    ----------
    pairs, rejected : int64 ndarrays of shape (people, cuts)
        How many pairs are left, and how many of those the threshold rejects.
    """

    pairs: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.int64]

    def fnmr(self) -> Floats:
        """After each cut, (cuts,); not a number where no pair is left."""
        return _ratio(self.rejected.sum(axis=0), self.pairs.sum(axis=0))

    def saved_interval(self, cut: int, replicates: int = REPLICATES, seed: int = 0) -> Interval:
        """95 % interval, over people drawn anew, of the FNMR before the first cut minus that after another.

        Cuts and threshold stay; not numbers where no replicate has pairs.
        """
        saved = np.empty(replicates)
        for i, drawn in enumerate(resampled_people(len(self.pairs), replicates, seed)):
            fnmr = _ratio(drawn @ self.rejected, drawn @ self.pairs)
            saved[i] = fnmr[0] - fnmr[cut]
        return interval(saved)


def remaining_pairs_of_people(
    embeddings: npt.NDArray[np.float32], identities: Integers, quality: Floats, cuts: Floats, threshold: float
) -> RemainingPairs:
    """All genuine pairs of a set of photographs, a bounded product at a time.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : ndarray of shape (n,), int
    quality : float64 ndarray of shape (n,)
    cuts : float64 ndarray of shape (cuts,), ascending
        A photograph is left while its quality is at or above the cut.
    threshold : float
        A pair is rejected where its cosine is below.
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
        Whose pair each is.
    quality : float64 ndarray of shape (n,)
        The lower one of both photographs.
    """
    _, who = np.unique(people, return_inverse=True)
    count, width = int(who.max(initial=-1)) + 1, len(cuts) + 1
    cell = who * width + _cuts_outlived(quality, cuts)
    counts = [np.bincount(cell[kind], minlength=count * width) for kind in (np.ones(len(who), bool), rejected)]
    return _remaining_pairs(np.stack(counts).reshape(2, count, width).swapaxes(0, 1))


def _cuts_outlived(quality: Floats, cuts: Floats) -> npt.NDArray[np.int64]:
    """How many cuts are at or below each quality."""
    return np.searchsorted(cuts, quality, side="right").astype(np.int64)


def _remaining_pairs(counts: npt.NDArray[np.int64]) -> RemainingPairs:
    """From pairs by the number of cuts that they outlive, (people, 2, cuts + 1)."""
    # After the k-th cut (from 0) those are left that outlive more than k.
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

    P. Grother, E. Tabassi, *Performance of Biometric Quality Measures*, 2007: discard the pairs of the lowest quality,
    and see how many of the others are falsely rejected. The threshold stays that of all pairs.

    Parameters
    ----------
    quality : float64 ndarray of shape (n,)
        Of each pair: the lower one of its two photographs.
    rejected : bool ndarray of shape (n,)
    """

    quality: Floats
    rejected: NDArray[np.bool_]

    def curve(self, weights: Weights | None = None) -> Floats:
        """FNMR after each of `CURVE_SHARES` was discarded, (20,); pairs may count several times or not at all.

        Pairs of equal quality count alike: of a tie, as large a part as is needed is kept, with the tie's own FNMR.
        """
        w = np.ones(len(self.quality)) if weights is None else weights
        levels, level = np.unique(-self.quality, return_inverse=True)  # best first
        total = np.cumsum(np.bincount(level, w, len(levels)))
        errors = np.cumsum(np.bincount(level, w * self.rejected, len(levels)))
        kept = (1 - CURVE_SHARES) * total[-1]
        # Linear between the levels: a part of a tie has its share of the errors.
        found = np.interp(kept, np.append(0.0, total), np.append(0.0, errors))
        return np.asarray(found / np.maximum(kept, 1e-12))


def gain_of(curve: Floats) -> Floats:
    """How far curves (..., 20) lie below random discard, on the mean of the first half of the shares: (...).

    Random discard leaves the FNMR as it is, in expectation.
    """
    return np.asarray(curve[..., 0] - curve[..., CURVE_SHARES <= AREA_UP_TO].mean(axis=-1))
