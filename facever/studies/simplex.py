"""The highest confidence of a classifier on the hypersphere: class directions as far apart as possible.

Ranjan et al. 2017, section 4.3. With C unit class directions w and a feature alpha · w_y, the probability of the right
class is softmax(alpha · <w_k, w_y>)[y].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EXPLICIT = 1000  # classes up to which the directions are written out


def simplex_directions(classes: int) -> NDArray[np.float64]:
    """C unit vectors (C, C) of equal angles to each other, cosine -1 / (C - 1): the vertices of a regular simplex.

    No C directions are farther apart. They span C - 1 dimensions.
    """
    corners = np.eye(classes) - 1 / classes
    return np.asarray(corners / np.linalg.norm(corners, axis=1, keepdims=True))


def axis_directions(classes: int) -> NDArray[np.float64]:
    """C unit vectors (C, C / 2), both ways along each axis, C even: the arrangement behind the paper's bound."""
    axes = np.eye(classes // 2)
    return np.concatenate([axes, -axes])


def measured_probabilities(directions: NDArray[np.float64], alphas: Sequence[float]) -> list[float]:
    """The mean probability of the right class over features alpha · w of every direction w (C, d), for each alpha."""
    cosines = directions @ directions.T  # (C, C)
    behind = cosines - np.diag(cosines)[:, None]  # the right class's logit is subtracted against overflow
    return [float(np.mean(1 / np.exp(alpha * behind).sum(axis=1))) for alpha in alphas]


def simplex_probability(classes: int, alpha: float) -> float:
    """For a simplex of any size, from its two cosines: 1 for the right class, -1 / (C - 1) for all others.

    1 / (1 + (C - 1) exp(-alpha C / (C - 1))): exact, and no C x C matrix is needed.
    """
    return 1 / (1 + (classes - 1) * math.exp(-alpha * classes / (classes - 1)))


def probabilities(classes: int, alphas: Sequence[float]) -> tuple[list[float], str]:
    """The probability on a simplex for each alpha, and how it was computed: "explicit" directions, or "structure"."""
    if classes <= EXPLICIT:
        return measured_probabilities(simplex_directions(classes), alphas), "explicit"
    return [simplex_probability(classes, alpha) for alpha in alphas], "structure"


def bound_probability(classes: int, alpha: float) -> float:
    """The bound solved for p: e^alpha / (e^alpha + C - 2), which is p at alpha_low(C, p). Eq. 7 and 8."""
    return 1 / (1 + (classes - 2) * math.exp(-alpha))
