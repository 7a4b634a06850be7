"""Pairs by the norm bins of both photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.metrics.bootstrap import Weights
from facever.studies.degradations import Floats


def bins_of(values: Floats, count: int) -> NDArray[np.int64]:
    """The bin of each value, from 0 for the lowest, (n,): bins of equal count, ties in the order of the values."""
    order = np.argsort(values, kind="stable")
    bins = np.empty(len(values), np.int64)
    for number, part in enumerate(np.array_split(order, count)):
        bins[part] = number
    return bins


@dataclass(frozen=True, slots=True)
class BinnedPairs:
    """Pairs by the bins of both photographs.

    Parameters
    ----------
    low, high : int64 ndarray of shape (n,)
        The lower and the higher bin of each pair.
    same, accepted : bool ndarray of shape (n,)
    count : int
        Of bins.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    same: NDArray[np.bool_]
    accepted: NDArray[np.bool_]
    count: int

    def accuracy(self, weights: Weights | None = None) -> Floats:
        """Balanced accuracy, (TAR + 1 - FAR) / 2, of each pair of bins: (count, count), NaN where low > high.

        Both kinds count alike, since cells hold unequal shares of genuine pairs.
        """
        w = np.ones(len(self.low)) if weights is None else weights
        cell = self.low * self.count + self.high
        rates = []
        for kind, right in ((self.same, self.accepted), (~self.same, ~self.accepted)):
            size = np.bincount(cell[kind], w[kind], self.count**2)
            hits = np.bincount(cell[kind], (w * right)[kind], self.count**2)
            rates.append(np.divide(hits, size, out=np.full(self.count**2, np.nan), where=size > 0))
        return np.asarray((rates[0] + rates[1]) / 2).reshape(self.count, self.count)
