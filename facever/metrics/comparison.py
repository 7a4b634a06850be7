"""Paired tests of two models on the same pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facever.errors import DataError
from facever.metrics.bootstrap import Interval, People, WeightedRates, Weights, interval, resampled_weights
from facever.metrics.rates import Bools
from facever.scoring import Scores


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's exact test (Q. McNemar, 1947), over pairs that only one of the models decides correctly.

    Attributes
    ----------
    only_first, only_second : int
        Pairs that only the first, only the second model decided correctly.
    p_value : float
        Two-sided: the probability of so uneven a split if both models are equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_correct: Bools, second_correct: Bools) -> McNemar:
    """Compare the decisions of two models on the same pairs, (n,) each.

    Raises
    ------
    DataError
        If the numbers of pairs differ.
    """
    from scipy.stats import binomtest

    if first_correct.shape != second_correct.shape:
        raise DataError(f"models are compared on the same pairs, not on {len(first_correct)} and {len(second_correct)}")
    only_first = int(np.count_nonzero(first_correct & ~second_correct))
    only_second = int(np.count_nonzero(second_correct & ~first_correct))
    n = only_first + only_second
    if not n:
        return McNemar(0, 0, 1.0)
    return McNemar(only_first, only_second, float(binomtest(min(only_first, only_second), n).pvalue))


@dataclass(frozen=True, slots=True)
class Difference:
    """Second model minus first, with a 95 % interval; `real` where the interval excludes zero."""

    figure: str
    difference: float
    interval: Interval

    @property
    def real(self) -> bool:
        return not self.interval[0] <= 0 <= self.interval[1]


def tar_differences(
    first: Scores, second: Scores, same: Bools, people: People, fars: tuple[float, ...], replicates: int = 1000
) -> list[Difference]:
    """The differences in TAR at each FAR, by a paired bootstrap over identities."""
    right = np.zeros(len(same), bool)
    rates = [WeightedRates(scores, same, right, fars) for scores in (first, second)]

    def difference(weights: Weights) -> list[float]:
        a, b = (rate(weights)[1:] for rate in rates)
        return [y - x for x, y in zip(a, b, strict=True)]

    found = difference(np.ones(len(same)))
    drawn = np.array([difference(weights) for weights in resampled_weights(people, replicates)])
    return [
        Difference(f"TAR at FAR {far:g}", value, interval(column))
        for far, value, column in zip(fars, found, drawn.T, strict=True)
    ]
