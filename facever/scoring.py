"""Cosines, and the threshold that turns them into answers.

The decision rule, everywhere in facever: two photographs show the same person if cosine >= threshold.
FAR is the share of impostor pairs that the rule accepts, TAR the share of genuine pairs, FRR = 1 - TAR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.errors import DataError

Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Two thresholds, and the FAR and the FRR that they promise: the same person from the upper one up, different
    people below the lower one, undecided between them."""

    threshold: float
    lower_threshold: float
    far: float
    frr: float


# With fewer expected false accepts, the measured FAR is mostly chance: at 10, its standard error is 32 %.
MIN_FALSE_ACCEPTS = 10


def cosine(a: Scores, b: Scores) -> Scores:
    """Return the cosines of the angles between unit vectors, row by row.

    Parameters
    ----------
    a, b : ndarray of shape (..., d), float32 or float64
        Vectors of length 1 along the last axis; their length is not checked.

    Returns
    -------
    ndarray of shape (...)
        Clipped into [-1, 1], which rounding can leave; NaN where a vector holds one.

    Raises
    ------
    ValueError
        If the shapes differ or have no axis.

    Examples
    --------
    >>> cosine(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0.6, 0.8], [0.6, 0.8]])).tolist()
    [0.6, 1.0]
    """
    if a.shape != b.shape or a.ndim == 0:
        raise ValueError(f"two arrays of equal shape (..., d) are needed, not {a.shape} and {b.shape}")
    return np.clip(np.sum(a * b, axis=-1), -1.0, 1.0)


def decide(cosines: Scores, threshold: float) -> npt.NDArray[np.bool_]:
    """Return True where the answer is "same person": cosine >= threshold.

    Parameters
    ----------
    cosines : ndarray of any shape, float
    threshold : float

    Returns
    -------
    ndarray of bool, of the same shape

    Examples
    --------
    >>> decide(np.array([0.31, 0.52, 0.74]), 0.52).tolist()
    [False, True, True]
    """
    # Compared in float64: numpy would else round the threshold to float32 scores, possibly onto one of them.
    return np.asarray(np.greater_equal(cosines, threshold, signature="dd->?"))


def threshold_at_far(impostor_cosines: Scores, far: float, *, min_false_accepts: int = MIN_FALSE_ACCEPTS) -> float:
    """Return the smallest threshold that accepts at most a given share of impostor pairs.

    Of n impostors, the rule may accept the k highest, k being the largest number with k / n <= `far`. The
    threshold is therefore the next float above the (k + 1)-th highest cosine, in the type of the scores.
    Where that one is tied with higher ones, all of the tie are rejected: fewer than k pass, never more.

    Parameters
    ----------
    impostor_cosines : ndarray of shape (n,), float
    far : float
        Between 0 and 1, both excluded.
    min_false_accepts : int
        How many false accepts to expect at the least, that is n * `far`; 0 asks for none.

    Returns
    -------
    float
        Just above 1 if the tie is at cosine 1: then nothing is accepted.

    Raises
    ------
    DataError
        If `far` is out of range, a cosine is not finite, or there are too few impostor pairs.

    Examples
    --------
    One of four impostors may pass, so the threshold lies just above the second highest:

    >>> impostors = np.array([0.1, 0.2, 0.3, 0.9])
    >>> threshold = threshold_at_far(impostors, 0.25, min_false_accepts=0)
    >>> 0.3 < threshold < 0.3000001, far_at_threshold(impostors, threshold)
    (True, 0.25)
    """
    needed = impostors_needed(far, min_false_accepts)
    scores = checked_scores(impostor_cosines)
    n = scores.size
    if n < needed:
        raise DataError(
            f"a threshold for FAR {far:g} takes at least {needed:,} impostor pairs, and there are {n:,}; "
            "use more photographs or a higher FAR"
        )
    k = _allowed(n, far)
    highest_rejected = np.partition(scores, n - 1 - k)[n - 1 - k]
    # In the type of the scores, so that no score and no rounding to that type falls between the two.
    return float(np.nextafter(highest_rejected, scores.dtype.type(np.inf)))


def threshold_at_frr(genuine_cosines: Scores, frr: float) -> float:
    """Return the largest threshold that rejects at most a given share of genuine pairs.

    Of n genuine pairs, the rule may reject the k lowest, k being the largest number with k / n <= `frr`: the threshold
    is the (k + 1)-th lowest cosine, which is accepted.

    Parameters
    ----------
    genuine_cosines : ndarray of shape (n,), float
    frr : float
        Between 0 and 1, both excluded.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If a cosine is not finite, or there is none.

    Examples
    --------
    One of four may be rejected:

    >>> threshold_at_frr(np.array([0.4, 0.9, 0.6, 0.8]), 0.25)
    0.6
    """
    scores = checked_scores(genuine_cosines)
    k = _allowed(scores.size, frr)
    return float(np.partition(scores, k)[k])


def impostors_needed(far: float, min_false_accepts: int = MIN_FALSE_ACCEPTS) -> int:
    """Return how many impostor pairs it takes to expect `min_false_accepts` false accepts at a FAR.

    Parameters
    ----------
    far : float
        Between 0 and 1, both excluded.
    min_false_accepts : int

    Returns
    -------
    int
        `min_false_accepts` / `far`, rounded up.

    Raises
    ------
    DataError
        If `far` is out of range.

    Examples
    --------
    >>> impostors_needed(0.001)
    10000
    """
    if not 0.0 < far < 1.0:
        raise DataError(f"FAR {far} is out of range; give a share between 0 and 1, such as 0.001")
    # The decimal as written: 10 / 0.001 is 10,000 then, whatever the binary fractions make of it.
    return math.ceil(min_false_accepts / Fraction(repr(float(far))))


def people_needed(impostor_pairs: int) -> int:
    """Return how many people with one photograph each make so many pairs: the least n with n (n - 1) / 2 of them.

    Examples
    --------
    >>> people_needed(10_000)
    142
    """
    n = (1 + math.isqrt(8 * impostor_pairs + 1)) // 2
    return n if n * (n - 1) // 2 >= impostor_pairs else n + 1


def far_at_threshold(impostor_cosines: Scores, threshold: float) -> float:
    """Return the false accept rate: the share of impostor cosines >= threshold.

    Parameters
    ----------
    impostor_cosines : ndarray of shape (n,), float
    threshold : float

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If there is no score, or one is not finite.
    """
    return float(np.mean(decide(checked_scores(impostor_cosines), threshold)))


def tar_at_threshold(genuine_cosines: Scores, threshold: float) -> float:
    """Return the true accept rate: the share of genuine cosines >= threshold.

    Parameters
    ----------
    genuine_cosines : ndarray of shape (n,), float
    threshold : float

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If there is no score, or one is not finite.
    """
    return float(np.mean(decide(checked_scores(genuine_cosines), threshold)))


def checked_scores(scores: Scores) -> Scores:
    """Return scores, unchanged, if there are any and all are finite.

    Parameters
    ----------
    scores : ndarray of shape (n,), float

    Returns
    -------
    ndarray of shape (n,), float
        Other types of number become float64.

    Raises
    ------
    ValueError
        If the array has another number of axes.
    DataError
        If it is empty, or holds NaN or infinity; the message says how many.
    """
    scores = np.asarray(scores)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores of shape (n,) are needed, not {scores.shape}")
    if scores.size == 0:
        raise DataError("there are no scores; give at least one pair of each kind")
    bad = scores.size - int(np.count_nonzero(np.isfinite(scores)))
    if bad:
        raise DataError(
            f"{bad:,} of {scores.size:,} scores are not finite numbers; leave out their pairs or embed again"
        )
    return scores


def _allowed(n: int, rate: float) -> int:
    """Return the largest k with k / n <= rate; the product alone can round to either side of it."""
    k = math.floor(rate * n)
    while k / n > rate:
        k -= 1
    while (k + 1) / n <= rate:
        k += 1
    return k
