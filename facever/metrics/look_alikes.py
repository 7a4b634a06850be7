"""The false accept rate among look-alikes: people whom another network finds similar.

A rate over all pairs is an average: most pairs are of people who resemble each other in nothing. Between people of one
origin, sex and age false accepts are many times as frequent (P. Grother, M. Ngan, K. Hanaoka, *Face Recognition Vendor
Test Part 3: Demographic Effects*, NISTIR 8280, 2019). Labels of origin and sex are seldom at hand, and not needed here:
people are grouped by k-means of their mean embeddings by a network that is not the one under test.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facever.metrics.all_pairs import AllPairs, all_pairs
from facever.metrics.bootstrap import REPLICATES
from facever.metrics.operating_points import OperatingPoints, point_intervals
from facever.metrics.pair_sample import sample_pairs
from facever.metrics.rates import Integers
from facever.scoring import impostors_needed
from facever.weights.thresholds import WorstGroup

# Few groups mix people who are not alike; in many, each holds few pairs. So all three are looked at.
NUMBERS_OF_GROUPS = (8, 16, 32)
SEED = 0
# In a smaller group one person under two names is many of its pairs.
MIN_PEOPLE = 30


def grouped_people(embeddings: NDArray[np.float32], who: Integers, groups: int) -> Integers:
    """The group of each person, int (people,): k-means of their mean embeddings, at a fixed seed.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
        By a network that is not under test.
    who : int ndarray of shape (n,)
        The person of each, numbered from 0.
    groups : int
        At most as many as people.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    sums = np.zeros((int(who.max()) + 1, embeddings.shape[1]), np.float64)
    np.add.at(sums, who, embeddings)
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer groups than asked for, where people look the same
        found = KMeans(groups, n_init=4, random_state=SEED).fit(means)
    return np.asarray(found.labels_, np.int64)


class LookAlikes:
    """The pairs within each group of look-alikes.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
        By the network under test.
    who : int ndarray of shape (n,)
        The person of each, numbered from 0.
    others : float32 ndarray of shape (n, k), unit length
        Of the same photographs, by the other network.
    by : str
        Its name.
    """

    def __init__(self, embeddings: NDArray[np.float32], who: Integers, others: NDArray[np.float32], by: str) -> None:
        self.embeddings, self.who, self.by = embeddings, who, by
        people = int(who.max()) + 1
        self.groups: list[tuple[int, NDArray[np.int64], AllPairs]] = []  # their number, rows, pairs
        for number in NUMBERS_OF_GROUPS:
            if number <= people:
                of_row = grouped_people(others, who, number)[who]
                for group in range(number):
                    rows = np.flatnonzero(of_row == group)
                    self.groups.append((number, rows, all_pairs(embeddings[rows], who[rows], closest=0)))

    def _judged(self, far: float) -> Iterator[tuple[int, NDArray[np.int64], AllPairs]]:
        """The groups whose people and impostor pairs are enough for a rate."""
        needed = impostors_needed(far)
        return (
            each
            for each in self.groups
            if each[2].impostor_pairs >= needed and len(np.unique(self.who[each[1]])) >= MIN_PEOPLE
        )

    def worst(self, far: float, cosine: float, replicates: int = REPLICATES) -> WorstGroup | None:
        """The group of the highest FAR at a cosine; None where no group is large enough for this rate."""
        judged = list(self._judged(far))
        if not judged:
            return None
        number, rows, pairs = max(judged, key=lambda each: each[2].far_at(cosine))
        _, who = np.unique(self.who[rows], return_inverse=True)
        counts = np.bincount(who)
        worst = WorstGroup(self.by, number, len(counts), len(rows), pairs.impostor_pairs, pairs.far_at(cosine))
        if not pairs.genuine_pairs:
            return worst
        points = OperatingPoints(*sample_pairs(self.embeddings[rows], who, pairs), (far,), (cosine,), counts)
        return replace(worst, far_interval=point_intervals(points, len(counts), replicates)[0].far_at_fixed)

    def threshold_at_far(self, far: float) -> float | None:
        """The lowest cosine at which no group is above this FAR; None where no group is large enough for it."""
        return max((pairs.threshold_at_far(far) for _, _, pairs in self._judged(far)), default=None)
