"""The tail of impostor cosines: peaks over threshold, for false match rates that are too low to be counted.

J. R. M. Hosking, J. R. Wallis, *Parameter and quantile estimation for the generalized Pareto distribution*, 1987:
probability-weighted moments, their shape k being -shape here. S. Coles, *An introduction to statistical modeling of
extreme values*, 2001, chapter 4.
"""

from __future__ import annotations

import numpy as np

from facever.metrics.bootstrap import REPLICATES, interval, resampled_people
from facever.metrics.operating_points import pairs_of_two
from facever.metrics.pair_sample import Floats, PairSample
from facever.metrics.rates import Integers
from facever.weights.tails import Tail

# The tail begins at the cosine with this false match rate, and is fitted to so many pairs at the least.
TAIL_RATE, TAIL_EXCESSES = 1e-2, 100
# The rates whose intervals are recorded.
TAIL_FMRS = tuple(10.0**-k for k in range(2, 11))


def fit_pareto(excesses: Floats, weights: Floats) -> tuple[float, float]:
    """Shape and scale of a generalized Pareto distribution, by probability-weighted moments.

    Parameters
    ----------
    excesses : float64 ndarray of shape (n,), ascending, none negative
    weights : float64 ndarray of shape (n,)
        How often each occurs.

    Returns
    -------
    shape, scale : float
        Kept within (-1, 0.5), where the moments exist; NaN without two different excesses.
    """
    total = weights.sum()
    mean = float(weights @ excesses / total) if total else np.nan
    rank = (np.cumsum(weights) - weights / 2) / total if total else weights
    upper = float((weights * (1 - rank)) @ excesses / total) if total else np.nan  # E[X (1 - F(X))]
    if not mean > 2 * upper > 0:
        return np.nan, np.nan
    ratio = mean / (mean - 2 * upper)
    shape = float(np.clip(2 - ratio, -0.99, 0.49))
    return shape, mean * (1 - shape)  # a mean of scale / (1 - shape)


def fit_tail(
    impostor: PairSample,
    start: float,
    people: int,
    source: str,
    impostor_pairs: int,
    photographs: Integers | None = None,
    replicates: int = REPLICATES,
) -> Tail | None:
    """Fit the cosines at or above `start`; intervals by a bootstrap over identities.

    None where no two different cosines lie above it, or in too few replicates for an interval.

    Parameters
    ----------
    impostor : PairSample
    start : float
        The cosine where the tail begins.
    people : int
        Their number; the sample's persons are numbers below it.
    source : str
        Whose pairs these are, for the record.
    impostor_pairs : int
        That the sample represents.
    photographs : int ndarray of shape (people,), optional
        Of each person, for a sample drawn from all pairs, as for `OperatingPoints`.
    replicates : int
    """
    above = impostor.cosines >= start
    order = np.argsort(impostor.cosines[above])
    excesses = impostor.cosines[above][order] - start
    a, b, counts = impostor.a[above][order], impostor.b[above][order], impostor.counts[above][order]
    shape, scale = fit_pareto(excesses, counts)
    if not np.isfinite(shape):
        return None
    whole = Tail(
        start, float(counts.sum()) / impostor_pairs, shape, scale, source, impostor_pairs, people, ((0.5, 0.0, 1.0),)
    )
    cosines = np.array([whole.cosine(rate) for rate in TAIL_FMRS])
    found = np.full((replicates, len(TAIL_FMRS)), np.nan)
    for row, drawn in zip(found, resampled_people(people, replicates), strict=True):
        weights: Floats = counts * (drawn[a] * drawn[b])
        if photographs is None:
            total = float((impostor.counts * drawn[impostor.a] * drawn[impostor.b]).sum())
        else:
            total = pairs_of_two(drawn * photographs)
        if total:
            row[:] = weights.sum() / total * survival(cosines - start, *fit_pareto(excesses, weights))
    ends = [interval(column) for column in found.T]
    if not np.isfinite(ends).all():
        return None
    intervals = tuple((rate, low, min(high, 1.0)) for rate, (low, high) in zip(TAIL_FMRS, ends, strict=True))
    return Tail(start, whole.rate, shape, scale, source, impostor_pairs, people, intervals)


def survival(excesses: Floats, shape: float, scale: float) -> Floats:
    """The share of a generalized Pareto distribution above each value, none negative."""
    if abs(shape) < 1e-9:
        return np.asarray(np.exp(-excesses / scale))
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(1 + shape * excesses / scale, 0.0) ** (-1 / shape))
