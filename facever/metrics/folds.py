"""LFW's protocol: the accuracy of each fold at the best threshold of the others.

G. B. Huang, M. Ramesh, T. Berg, E. Learned-Miller, *Labeled Faces in the Wild*, University of Massachusetts, Amherst,
Technical Report 07-49, 2007.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from facever.errors import DataError
from facever.metrics.rates import Bools, Integers, checked_pairs
from facever.scoring import Scores, decide


def best_threshold(cosines: Scores, same: Bools) -> float:
    """Return the threshold with the highest accuracy.

    Candidates, from low to high: the lowest score (all pairs accepted), the midpoints between neighboring distinct
    scores, and the next float above the highest score (none accepted). Of several best ones, the middle of their first
    uninterrupted run, the lower of two middles.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite or a kind of pair is missing.

    Examples
    --------
    >>> best_threshold(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    cosines, same = checked_pairs(cosines, same)
    values, inverse = np.unique(cosines.astype(np.float64), return_inverse=True)  # (m,) ascending, (n,)
    midpoints = (values[:-1] + values[1:]) / 2
    # Between two neighboring floats the midpoint rounds to one of them; the lower one would accept itself.
    midpoints = np.where(midpoints > values[:-1], midpoints, values[1:])
    thresholds = np.concatenate([values[:1], midpoints, np.nextafter(values[-1:], np.inf)])  # (m + 1,)
    # Raising the threshold above a score gains its impostors and loses its genuine pairs.
    gains = np.bincount(inverse, weights=np.where(same, -1, 1))  # (m,) whole numbers
    correct = np.count_nonzero(same) + np.concatenate([[0], np.cumsum(gains)])  # (m + 1,)
    first = int(np.argmax(correct))
    worse = np.flatnonzero(correct[first:] < correct[first])
    run = int(worse[0]) if worse.size else correct.size - first
    return float(thresholds[first + (run - 1) // 2])


def cross_validated_accuracy(
    cosines: Scores, same: Bools, folds: Integers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the accuracy of each fold at the best threshold of all the other folds.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.
    folds : ndarray of shape (n,), int
        The fold of each pair.

    Returns
    -------
    fold_accuracies, fold_thresholds : ndarray of shape (k,), float64
        In ascending order of the k fold numbers.

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite, the other folds of one lack a kind of pair, or there is a single fold.
    """
    cosines, same = checked_pairs(cosines, same)
    folds = np.asarray(folds)
    if folds.shape != cosines.shape:
        raise ValueError(f"a fold for each pair is needed: {folds.shape} is not {cosines.shape}")
    names = np.unique(folds)
    if names.size < 2:
        raise DataError("cross-validation takes two or more folds, and there is one; use a list with more")
    accuracies, thresholds = [], []
    for name in names:
        held_out = folds == name
        threshold = best_threshold(cosines[~held_out], same[~held_out])
        accuracies.append(np.mean(decide(cosines[held_out], threshold) == same[held_out]))
        thresholds.append(threshold)
    return np.array(accuracies), np.array(thresholds)


def standard_error(values: npt.NDArray[np.float64]) -> float:
    """Return the standard error of a mean: the sample standard deviation (ddof 1) over sqrt(k).

    Parameters
    ----------
    values : ndarray of shape (k,), float
        k > 1.

    Returns
    -------
    float
    """
    return float(np.std(values, ddof=1) / math.sqrt(values.size))
