"""95 % intervals of thresholds, TAR and FAR, from weighted pairs, by a bootstrap over identities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facever.metrics.bootstrap import REPLICATES, Interval, interval, resampled_people
from facever.metrics.pair_sample import Floats, PairSample
from facever.metrics.rates import Integers


@dataclass(frozen=True, slots=True)
class PointIntervals:
    """Intervals at one FAR.

    Attributes
    ----------
    threshold : (float, float)
        Of the threshold, chosen anew in each replicate.
    tar : (float, float)
        Of the TAR at that threshold: the interval of "TAR at FAR".
    far_at_fixed : (float, float)
        Of the FAR at the fixed threshold, chosen on everybody.
    """

    threshold: Interval
    tar: Interval
    far_at_fixed: Interval


class OperatingPoints:
    """Rates of resampled people.

    Parameters
    ----------
    genuine, impostor : PairSample
    thresholds : floats
        One for each of `fars`, chosen on everybody.
    photographs : int ndarray of shape (people,), optional
        Of each person, for a sample drawn from all pairs: makes the number of impostor pairs in a replicate exact.
        Without it, the sample is taken to hold every pair.
    """

    def __init__(
        self,
        genuine: PairSample,
        impostor: PairSample,
        fars: tuple[float, ...],
        thresholds: tuple[float, ...],
        photographs: Integers | None = None,
    ) -> None:
        self.genuine, self.impostor = _descending(genuine), _descending(impostor)
        self.fars, self.photographs = np.array(fars), photographs
        # Equal scores are accepted together: rates are read at the last of each.
        self.ends = np.flatnonzero(np.append(np.diff(self.impostor.cosines) != 0, True))
        self.accepted_at_fixed = np.searchsorted(-self.impostor.cosines, -np.array(thresholds), side="right")

    def __call__(self, drawn: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """(thresholds, TARs, FARs at the fixed thresholds), (k,) each, if person p was drawn `drawn[p]` times.

        A genuine pair counts as often as its person, an impostor pair as the product of both. NaN where a
        kind of pair is missing.
        """
        accepted = np.cumsum(self.impostor.counts * drawn[self.impostor.a] * drawn[self.impostor.b])
        own = np.append(0.0, np.cumsum(self.genuine.counts * drawn[self.genuine.a]))
        total = float(accepted[-1]) if self.photographs is None else pairs_of_two(drawn * self.photographs)
        if not (total and own[-1]):
            nothing = np.full(len(self.fars), np.nan)
            return nothing, nothing, nothing
        # The first score, from the top, that would accept too many; the threshold lies just above it.
        first = np.searchsorted(accepted[self.ends], self.fars * total * (1 + 1e-12), side="right")
        rejected = self.impostor.cosines[self.ends[np.minimum(first, len(self.ends) - 1)]]
        above = np.searchsorted(-self.genuine.cosines, -rejected, side="left")
        at_fixed = np.append(0.0, accepted)[self.accepted_at_fixed] / total
        return rejected, own[above] / own[-1], at_fixed


def point_intervals(
    points: OperatingPoints, people: int, replicates: int = REPLICATES, seed: int = 0
) -> list[PointIntervals]:
    """95 % intervals at each FAR. See `facever.metrics.bootstrap`."""
    values = np.array([points(drawn) for drawn in resampled_people(people, replicates, seed)])  # (replicates, 3, k)
    return [PointIntervals(*(interval(values[:, i, k]) for i in range(3))) for k in range(values.shape[2])]


def pairs_of_two(counts: npt.NDArray[np.int64]) -> float:
    """Impostor pairs in a replicate with so many photographs per person; copies of one person make none."""
    counts = counts.astype(np.float64)
    return float(counts.sum() ** 2 - (counts**2).sum()) / 2


def _descending(sample: PairSample) -> PairSample:
    order = np.argsort(-sample.cosines, kind="stable")
    return PairSample(sample.cosines[order], sample.a[order], sample.b[order], sample.counts[order])
