"""Figures of searches: whether the person searched for is found, and whether somebody is found where nobody should be.

ISO/IEC 19795-1:2021, and NIST FRTE 1:N (P. Grother, M. Ngan, K. Hanaoka, *Face recognition vendor test part 2:
identification*, NISTIR 8271, 2019). A search is mated if its person is in the gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.metrics.bootstrap import REPLICATES, Interval, interval, resampled_people
from facever.metrics.rates import Integers
from facever.scoring import decide, impostors_needed, threshold_at_far

RANKS = 20
FPIRS = (0.1, 0.01, 0.003)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """Searches of one gallery.

    Attributes
    ----------
    entries : int
        N, the people in the gallery.
    own : float64 ndarray of shape (m,)
        The cosine of each mated search with its own person.
    ranks : int64 ndarray of shape (m,)
        Of that person, from 1; with equal cosines the worst.
    own_people : int64 ndarray of shape (m,)
        Who is searched for.
    top : float64 ndarray of shape (u,)
        The highest cosine of each unmated search.
    top_people : int64 ndarray of shape (u,)
    """

    entries: int
    own: Floats
    ranks: Integers
    own_people: Integers
    top: Floats
    top_people: Integers


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """One false positive identification rate.

    Attributes
    ----------
    fpir : float
        The rate asked for.
    threshold : float or None
        Measured on the unmated searches; None where they are too few for ten expected false positives.
    fnir : float or None
        The share of mated searches whose person has a lower cosine, at any rank.
    fnir_interval : (float, float) or None
        95 %, by a bootstrap over identities; the threshold is chosen anew in each replicate.
    promised_threshold : float or None
        What the weights' calibration promises for the rate; None where it does not support it.
    promised_fpir, promised_fnir : float or None
        Measured at that threshold.
    promised_fpir_interval : (float, float) or None
    """

    fpir: float
    threshold: float | None
    fnir: float | None
    fnir_interval: Interval | None
    promised_threshold: float | None = None
    promised_fpir: float | None = None
    promised_fnir: float | None = None
    promised_fpir_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class GalleryFigures:
    """The figures of one gallery.

    Attributes
    ----------
    people, mated, unmated : int
        In the gallery; searches for people in it, and for others.
    cmc : list of float
        The share of mated searches whose person is among the first 1, 2, … `RANKS`.
    rank_1_interval : (float, float)
        95 %, by a bootstrap over identities.
    points : list of SearchPoint
    """

    people: int
    mated: int
    unmated: int
    cmc: list[float]
    rank_1_interval: Interval
    points: list[SearchPoint]


@dataclass(frozen=True, slots=True, eq=False)
class SearchFigures:
    """The figures of galleries of several sizes, ascending, and the searches that they come from."""

    photographs: int
    without_face: list[str]
    galleries: list[GalleryFigures]
    searches: list[Searches]

    def to_json(self) -> dict[str, Any]:
        """Every figure, without the searches."""
        return {
            "photographs": self.photographs,
            "without_face": self.without_face,
            "galleries": [asdict(each) for each in self.galleries],
        }


def search_figures(
    searches: Searches,
    promised: Sequence[float | None] = (None,) * len(FPIRS),
    fpirs: Sequence[float] = FPIRS,
    replicates: int = REPLICATES,
) -> GalleryFigures:
    """The figures of one gallery; people are resampled among those searched for, and the gallery stays.

    Parameters
    ----------
    searches : Searches
        At least one of each kind.
    promised : sequence of float or None
        The calibration's threshold for each rate.
    fpirs : sequence of float in (0, 1)
    replicates : int
        Bootstrap replicates.
    """
    thresholds = [threshold_at_fpir(searches.top, fpir) for fpir in fpirs]
    mated, unmated = (np.unique(people, return_inverse=True) for people in (searches.own_people, searches.top_people))
    order = np.argsort(-searches.top, kind="stable")
    rows = []
    draws = zip(
        resampled_people(len(mated[0]), replicates), resampled_people(len(unmated[0]), replicates, 1), strict=True
    )
    for drawn, others in draws:
        own, top = drawn[mated[1]].astype(np.float64), others[unmated[1]].astype(np.float64)
        own, top = own / own.sum(), top / top.sum()
        row = [float(own @ (searches.ranks == 1))]
        accepted = np.cumsum(top[order])
        for fpir, wanted in zip(fpirs, promised, strict=True):
            first = min(int(np.searchsorted(accepted, fpir * (1 + 1e-12), side="right")), len(order) - 1)
            row.append(float(own @ (searches.own <= searches.top[order[first]])))
            row.append(np.nan if wanted is None else float(top @ decide(searches.top, wanted)))
        rows.append(row)
    ends = [interval(column) for column in np.array(rows).T]
    points = []
    for i, (fpir, threshold, wanted) in enumerate(zip(fpirs, thresholds, promised, strict=True)):
        point = SearchPoint(fpir, threshold, None, None)
        if threshold is not None:
            point = SearchPoint(fpir, threshold, fnir(searches.own, threshold), ends[1 + 2 * i])
        if wanted is not None:
            measured = float(np.mean(decide(searches.top, wanted)))
            point = SearchPoint(
                *(fpir, point.threshold, point.fnir, point.fnir_interval),
                *(wanted, measured, fnir(searches.own, wanted), ends[2 + 2 * i]),
            )
        points.append(point)
    return GalleryFigures(searches.entries, len(searches.own), len(searches.top), cmc(searches.ranks), ends[0], points)


def cmc(ranks: Integers, count: int = RANKS) -> list[float]:
    """The cumulative match characteristic: the share of mated searches with a rank of at most 1, 2, … count.

    Examples
    --------
    >>> cmc(np.array([1, 1, 2, 4]), 4)
    [0.5, 0.75, 0.75, 1.0]
    """
    return [float(np.mean(ranks <= rank)) for rank in range(1, count + 1)]


def fnir(own: Floats, threshold: float) -> float:
    """False negative identification rate: the share of mated searches whose person is below the threshold.

    Examples
    --------
    >>> fnir(np.array([0.2, 0.5, 0.7, 0.9]), 0.5)
    0.25
    """
    return float(np.mean(~decide(own, threshold)))


def threshold_at_fpir(top: Floats, fpir: float) -> float | None:
    """The lowest threshold at which at most this share of unmated searches find somebody.

    None with fewer than ten expected false positives.
    """
    return threshold_at_far(top, fpir) if len(top) >= impostors_needed(fpir) else None
