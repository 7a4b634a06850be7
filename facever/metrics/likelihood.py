"""Likelihood ratios of cosines, fitted and judged.

N. Brümmer, J. du Preez, *Application-independent evaluation of speaker detection*, 2006: logistic regression of the
score; C_llr, and its minimum over all monotone maps of the score.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.errors import DataError
from facever.scoring import Scores, checked_scores
from facever.weights.records import Likelihood

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


def fit_likelihood(
    genuine_cosines: Scores,
    impostor_cosines: Scores,
    source: str,
    genuine_counts: Counts | None = None,
    impostor_counts: Counts | None = None,
) -> Likelihood:
    """Fit the line by logistic regression, both kinds of pair weighted equally.

    Parameters
    ----------
    genuine_cosines, impostor_cosines : ndarray of shape (g,) and (i,), float
    source : str
        Description of the pairs, for the record.
    genuine_counts, impostor_counts : ndarray of shape (g,) and (i,), optional
        Number of pairs with each score; by default 1.

    Raises
    ------
    DataError
        If a score is not finite, there is none of a kind, or genuine pairs are no more similar than impostors.
    """
    from sklearn.linear_model import LogisticRegression

    genuine, impostor = (checked_scores(s).astype(np.float64) for s in (genuine_cosines, impostor_cosines))
    g, i = _counts(genuine, genuine_counts), _counts(impostor, impostor_counts)
    scores = np.concatenate([genuine, impostor])
    same = np.repeat([1, 0], [genuine.size, impostor.size])
    # Equal weight for both kinds: a prior of one half, with log odds of zero.
    weights = np.concatenate([g / g.sum(), i / i.sum()]) * (g.sum() + i.sum()) / 2
    center = float(np.average(scores, weights=weights))
    spread = max(math.sqrt(float(np.average((scores - center) ** 2, weights=weights))), 1e-12)
    # No penalty: there are two parameters and many pairs.
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(((scores - center) / spread)[:, None], same, sample_weight=weights)
    slope = float(model.coef_[0, 0]) / spread
    offset = float(model.intercept_[0]) - slope * center
    if slope <= 0:
        raise DataError("genuine pairs are no more similar than impostor pairs; check the labels")
    found = cllr(slope * genuine + offset, slope * impostor + offset, g, i)
    least = min_cllr(genuine, impostor, g, i)
    return Likelihood(slope, offset, found, least, source, round(float(g.sum())), round(float(i.sum())))


def fit_likelihood_or_none(
    genuine_cosines: Scores,
    impostor_cosines: Scores,
    source: str,
    genuine_counts: Counts | None = None,
    impostor_counts: Counts | None = None,
) -> Likelihood | None:
    """As `fit_likelihood`; None where the scores do not separate the kinds."""
    try:
        return fit_likelihood(genuine_cosines, impostor_cosines, source, genuine_counts, impostor_counts)
    except DataError:
        return None


def cllr(
    genuine_log_ratios: Floats,
    impostor_log_ratios: Floats,
    genuine_counts: Counts | None = None,
    impostor_counts: Counts | None = None,
) -> float:
    """The cost of log likelihood ratios (natural logarithms), in bits: Brümmer and du Preez 2006, eq. 8.

    Half the mean of log2(1 + 1/LR) over genuine pairs, and half that of log2(1 + LR) over impostor pairs; means
    weighted by the counts, by default 1 each.
    """
    genuine = np.logaddexp(0.0, -np.asarray(genuine_log_ratios, np.float64))
    impostor = np.logaddexp(0.0, np.asarray(impostor_log_ratios, np.float64))
    both = np.average(genuine, weights=genuine_counts) + np.average(impostor, weights=impostor_counts)
    return float(both / (2 * math.log(2)))


def min_cllr(
    genuine_cosines: Scores,
    impostor_cosines: Scores,
    genuine_counts: Counts | None = None,
    impostor_counts: Counts | None = None,
) -> float:
    """The minimum C_llr over all monotone maps of the scores, by pool adjacent violators, in bits."""
    from sklearn.isotonic import isotonic_regression

    genuine, impostor = checked_scores(genuine_cosines), checked_scores(impostor_cosines)
    g, i = _counts(genuine, genuine_counts), _counts(impostor, impostor_counts)
    scores = np.concatenate([genuine, impostor]).astype(np.float64)
    same = np.repeat([1.0, 0.0], [genuine.size, impostor.size])
    weight = np.concatenate([g / g.sum(), i / i.sum()]) / 2
    _, inverse = np.unique(scores, return_inverse=True)  # equal scores share one probability
    total = np.bincount(inverse, weight)
    share = np.bincount(inverse, weight * same) / total
    p = isotonic_regression(share, sample_weight=total)[inverse]
    with np.errstate(divide="ignore"):
        log_ratio = np.log(p) - np.log1p(-p)  # the prior is one half
    return cllr(log_ratio[: genuine.size], log_ratio[genuine.size :], g, i)


def _counts(scores: Scores, counts: Counts | None) -> Floats:
    return np.ones(scores.size) if counts is None else np.asarray(counts, np.float64)
