"""Error rates of scored pairs: EER, TAR at FAR, d-prime.

The decision rule is that of `facever.scoring`: same person if cosine >= threshold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.errors import DataError
from facever.scoring import Scores, checked_scores, impostors_needed, tar_at_threshold, threshold_at_far

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]

HIGHEST_FAR = 0.1


def rarest_far(impostors: int, at_least: float = 1e-9) -> float | None:
    """Return the rarest FAR, of one significant digit, that so many impostor pairs support.

    Parameters
    ----------
    impostors : int
    at_least : float
        No rarer one than this.

    Returns
    -------
    float or None
        None where not even `HIGHEST_FAR` has ten expected false accepts.

    Examples
    --------
    >>> rarest_far(600), rarest_far(10_000), rarest_far(10**6, 1e-3), rarest_far(99)
    (0.02, 0.001, 0.001, None)
    """
    grid = (float(f"{digit}e-{exponent}") for exponent in range(9, 1, -1) for digit in range(1, 10))
    fars = (far for far in (*grid, HIGHEST_FAR) if far >= at_least)
    return next((far for far in fars if impostors >= impostors_needed(far)), None)


def equal_error_rate(cosines: Scores, same: Bools) -> float:
    """Return the error rate where false accepts are as frequent as false rejects.

    The rates jump from score to score; between the two points of the ROC where they cross, both are taken as
    straight lines.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.

    Returns
    -------
    float
        In [0, 1]; 0.5 for scores that say nothing.

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite or a kind of pair is missing.

    Examples
    --------
    >>> equal_error_rate(np.array([0.9, 0.4, 0.5, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    from sklearn.metrics import roc_curve

    cosines, same = checked_pairs(cosines, same)
    far, tar, _ = roc_curve(same, cosines)  # from (0, 0) to (1, 1)
    excess = (1 - tar) - far  # FRR - FAR, falling from 1 to -1
    after = int(np.argmax(excess <= 0))
    before = after - 1
    weight = excess[before] / (excess[before] - excess[after])
    return float(far[before] + weight * (far[after] - far[before]))


def tar_at_far(genuine_cosines: Scores, impostor_cosines: Scores, far: float) -> float:
    """Return the TAR at the smallest threshold whose FAR is at most the given one.

    Parameters
    ----------
    genuine_cosines : ndarray of shape (g,), float
    impostor_cosines : ndarray of shape (i,), float
        However few; below 10 / `far` of them the result is mostly chance.
    far : float
        Between 0 and 1, both excluded.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If `far` is out of range, or there is no score of a kind or one that is not finite.

    Examples
    --------
    >>> tar_at_far(np.array([0.25, 0.8, 0.9]), np.array([0.1, 0.2, 0.3, 0.7]), 0.25)
    0.6666666666666666
    """
    return tar_at_threshold(genuine_cosines, threshold_at_far(impostor_cosines, far, min_false_accepts=0))


def frr_at_far(genuine_cosines: Scores, impostor_cosines: Scores, far: float) -> float:
    """Return 1 - TAR at a FAR. See `tar_at_far`."""
    return 1.0 - tar_at_far(genuine_cosines, impostor_cosines, far)


def d_prime(genuine_cosines: Scores, impostor_cosines: Scores) -> float:
    """Return the distance of the two means in units of the root mean of the two variances.

    J. Daugman, *The importance of being random: statistical principles of iris recognition*, 2003, eq. 12; variances
    with ddof 1.

    Parameters
    ----------
    genuine_cosines, impostor_cosines : ndarray of shape (g,) and (i,), float
        Two or more each.

    Returns
    -------
    float
        Infinite where neither varies and the means differ; NaN where there is a single score of a kind.

    Examples
    --------
    >>> d_prime(np.array([6.0, 7.0, 8.0]), np.array([1.0, 2.0, 3.0]))
    5.0
    """
    genuine, impostor = (checked_scores(s).astype(np.float64) for s in (genuine_cosines, impostor_cosines))
    if min(genuine.size, impostor.size) < 2:
        return math.nan
    spread = math.sqrt((genuine.var(ddof=1) + impostor.var(ddof=1)) / 2)
    distance = float(genuine.mean() - impostor.mean())
    return distance / spread if spread else math.copysign(math.inf, distance) if distance else 0.0


def checked_pairs(cosines: Scores, same: Bools) -> tuple[Scores, Bools]:
    """Return scores and labels as arrays if they fit each other and both kinds of pair are there."""
    cosines, same = checked_scores(cosines), np.asarray(same, dtype=bool)
    if same.shape != cosines.shape:
        raise ValueError(f"a label for each score is needed: {same.shape} is not {cosines.shape}")
    genuine = int(np.count_nonzero(same))
    if genuine in (0, same.size):
        kind = "impostor" if genuine else "genuine"
        raise DataError(f"there is no {kind} pair among {same.size:,}; both kinds are needed")
    return cosines, same
