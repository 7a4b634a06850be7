"""Intervals over seeds and over people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.metrics.bootstrap import REPLICATES, People, Weights, interval, resampled_weights
from facever.studies.outcome import Figure, Interval


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval for the mean: mean ± t(k - 1) · s / sqrt(k); None for fewer than two values.

    Parameters
    ----------
    values : k floats
        One per seed, or one difference per seed for a paired interval.
    """
    from scipy.stats import t

    k = len(values)
    if k < 2:
        return None
    half = float(t.ppf((1 + level) / 2, k - 1)) * float(np.std(values, ddof=1)) / math.sqrt(k)
    mean = float(np.mean(values))
    return mean - half, mean + half


def over_seeds(count: int) -> str:
    """Describes `t_interval` of one value per seed."""
    return f"Student's t over {count} seeds" if count > 1 else "none: a single seed"


def paired_over_seeds(count: int) -> str:
    return f"paired Student's t over {count} seeds" if count > 1 else "none: a single seed"


def seed_figure(name: str, values: Sequence[float]) -> Figure:
    """The mean over seeds with its interval."""
    return Figure(name, float(np.mean(values)), t_interval(values), over_seeds(len(values)))


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, Interval | None]:
    """Mean of first - second over the same seeds, and its paired interval."""
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    return float(np.mean(pairs)), t_interval(pairs)


def seeds_and_people(values: NDArray[np.float64], draws: NDArray[np.float64]) -> tuple[float, Interval | None]:
    """Mean over seeds, with an interval for other seeds and other people.

    Student's over the seeds and the bootstrap's over people, of the mean over seeds, are added in quadrature, as if
    they were independent. None for a single seed.

    Parameters
    ----------
    values : float64 ndarray of shape (s,)
        A difference for each seed.
    draws : float64 ndarray of shape (s, r)
        Its bootstrap replicates over people; a replicate draws the same people for every seed that has the same ones.
    """
    mean = float(values.mean())
    seeds = t_interval([float(each) for each in values])
    if seeds is None:
        return mean, None
    low, high = interval(draws.mean(axis=0))
    half = [
        math.hypot(mean - of_seeds, mean - of_people) for of_seeds, of_people in zip(seeds, (low, high), strict=True)
    ]
    return mean, (mean - half[0], mean + half[1])


def over_seeds_and_people(count: int) -> str:
    """Describes `seeds_and_people`."""
    return f"over {count} seeds and over people" if count > 1 else "none: a single seed"


def share_interval(hits: int, count: int) -> Interval:
    """Wilson's 95 % interval for a share of `count`.

    E. B. Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, 1927.

    Examples
    --------
    >>> low, high = share_interval(0, 5)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.434)
    """
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def no_narrower_than_wilson(ends: Interval, hits: int, trials: int) -> Interval:
    """A bootstrapped interval of a share, widened to Wilson's for as many independent trials.

    Where all or no trials are hits, a bootstrap knows no doubt.
    """
    low, high = share_interval(hits, trials)
    return float(np.fmin(ends[0], low)), float(np.fmax(ends[1], high))


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A figure, or an array of them, with its bootstrap replicates over identities.

    Two on the same people may be subtracted: their replicates draw the same people.

    Attributes
    ----------
    value : float64 ndarray of any shape
    draws : float64 ndarray of shape (replicates, *shape)
    """

    value: NDArray[np.float64]
    draws: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        people: People,
        measure: Callable[[Weights | None], NDArray[np.float64] | float],
        replicates: int = REPLICATES,
    ) -> Bootstrapped:
        """`measure` takes the weight of each pair, or None for equal weights."""
        draws = [measure(weights) for weights in resampled_weights(people, replicates)]
        return cls(np.asarray(measure(None), np.float64), np.array(draws, np.float64))

    def then(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Bootstrapped:
        """Apply a function of the last axes to the figure and to each replicate."""
        return Bootstrapped(change(self.value), change(self.draws))

    def __sub__(self, other: Bootstrapped) -> Bootstrapped:
        return Bootstrapped(self.value - other.value, self.draws - other.draws)

    @property
    def number(self) -> float:
        return float(self.value)

    @property
    def ci95(self) -> Interval:
        """Of a single figure; replicates where it is undefined are left out."""
        return interval(self.draws)

    def band(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends of each of an array's 95 % intervals."""
        low, high = np.nanquantile(self.draws, [0.025, 0.975], axis=0)
        return low, high
