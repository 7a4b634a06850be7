"""Confidence intervals by a bootstrap over identities.

Pairs that share a person are not independent, and intervals that treat them so are too narrow. Here identities are
resampled with replacement; a pair of a and b counts as often as the product of their draws.

R. M. Bolle, N. K. Ratha, S. Pankanti, *Error analysis of pattern recognition systems: the subsets bootstrap*, 2004;
for pairs across people A. B. Owen, *The pigeonhole bootstrap*, 2007.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facever.metrics.rates import Bools, Integers, checked_pairs
from facever.scoring import Scores, decide

REPLICATES = 1000
LEVEL = 0.95

Weights = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class People:
    """The two people of each pair: two arrays of n person numbers in [0, count)."""

    a: Integers
    b: Integers
    count: int

    @classmethod
    def of(cls, names_a: list[str], names_b: list[str]) -> People:
        _, numbers = np.unique(np.array(names_a + names_b, dtype=object).astype(str), return_inverse=True)
        return cls(numbers[: len(names_a)], numbers[len(names_a) :], int(numbers.max(initial=-1)) + 1)


def resampled_people(count: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """Yield how often each person is drawn in a replicate, (count,): as many draws as people, with replacement."""
    generator = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(generator.integers(0, count, count), minlength=count)


def resampled_weights(people: People, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Weights]:
    """Yield the weight of each pair in a replicate, (n,): draws of its person, or the product of both draws."""
    own = people.a == people.b
    for drawn in resampled_people(people.count, replicates, seed):
        yield np.where(own, drawn[people.a], drawn[people.a] * drawn[people.b]).astype(np.float64)


def interval(values: npt.NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The percentile interval of bootstrapped values, ignoring NaN."""
    values = values[np.isfinite(values)]
    if not values.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(
    people: People, figures: Callable[[Weights], list[float]], replicates: int = REPLICATES, seed: int = 0
) -> list[Interval]:
    """95 % intervals of figures of weighted pairs.

    Parameters
    ----------
    figures : callable
        From weights (n,) to a list of k numbers; NaN where a replicate lacks a kind of pair.

    Returns
    -------
    list of k intervals
        NaN with fewer than two people: they say nothing of others.
    """
    if people.count < 2:
        return [(math.nan, math.nan)] * len(figures(np.ones(len(people.a))))
    values = np.array([figures(weights) for weights in resampled_weights(people, replicates, seed)])
    return [interval(column) for column in values.T]


class WeightedRates:
    """Accuracy and TAR at FAR of weighted pairs.

    Parameters
    ----------
    cosines, same : ndarray of shape (n,)
    correct : bool ndarray of shape (n,)
        Whether each pair was decided correctly, at its own threshold.
    fars : floats
    """

    def __init__(self, cosines: Scores, same: Bools, correct: Bools, fars: tuple[float, ...]) -> None:
        cosines, same = checked_pairs(cosines, same)
        self.order = np.argsort(-cosines.astype(np.float64), kind="stable")
        sorted_cosines = cosines[self.order]
        # Equal scores are accepted together, so rates are read at the last of each.
        self.ends = np.flatnonzero(np.append(np.diff(sorted_cosines) != 0, True))
        self.genuine, self.correct, self.fars = same[self.order], correct[self.order], fars

    def __call__(self, weights: Weights) -> list[float]:
        """[accuracy, TAR at each FAR], with the mean over pairs as accuracy."""
        w = weights[self.order]
        genuine = np.cumsum(np.where(self.genuine, w, 0.0))[self.ends]
        impostor = np.cumsum(np.where(self.genuine, 0.0, w))[self.ends]
        if not (genuine[-1] and impostor[-1]):
            return [np.nan] * (1 + len(self.fars))
        accuracy = float(w[self.correct].sum() / w.sum())
        far = impostor / impostor[-1]
        tar = np.append(0.0, genuine / genuine[-1])
        # The lowest threshold whose FAR is at most the one asked for; without any, TAR is 0.
        return [accuracy, *(float(tar[np.searchsorted(far, f * (1 + 1e-12), side="right")]) for f in self.fars)]


def correct_decisions(
    cosines: Scores, same: Bools, folds: Integers, fold_thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether each pair was decided correctly at its fold's threshold; folds in ascending order."""
    right = np.zeros(len(cosines), bool)
    for fold, threshold in zip(np.unique(folds), fold_thresholds, strict=True):
        own = folds == fold
        right[own] = decide(cosines[own], float(threshold)) == same[own]
    return right
