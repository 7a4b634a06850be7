"""Figures by group, at one threshold for all groups: what people in a group experience."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facever.metrics.bootstrap import Interval, People, Weights, bootstrap
from facever.metrics.rates import Bools
from facever.scoring import Scores, decide

FEW = 30


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One group's pairs. Rates are None where a kind of pair is missing, 95 % intervals by a bootstrap over identities.

    `few`: one kind has fewer than `FEW` pairs, too few for a rate.
    """

    name: str
    genuine_pairs: int
    impostor_pairs: int
    accuracy: float
    accuracy_interval: Interval
    far: float | None
    far_interval: Interval
    tar: float | None
    tar_interval: Interval
    few: bool


def figures_by_group(
    cosines: Scores,
    same: Bools,
    correct: Bools,
    groups: Sequence[str | None],
    people: People,
    threshold: float,
    replicates: int = 1000,
) -> list[GroupFigures]:
    """Figures of each group, sorted by name; pairs without a group are ignored.

    Parameters
    ----------
    cosines, same, correct : ndarray of shape (n,)
        `correct` is whether the protocol decided the pair correctly.
    groups : n labels
    people : People
        Of the same n pairs.
    threshold : float
        At which FAR and TAR are read, for all groups.
    """
    labels = np.array([group if group is not None else "" for group in groups], dtype=object)
    names = sorted({group for group in groups if group})
    return [_group(name, labels == name, cosines, same, correct, people, threshold, replicates) for name in names]


def _group(
    name: str,
    own: Bools,
    cosines: Scores,
    same: Bools,
    correct: Bools,
    people: People,
    threshold: float,
    replicates: int,
) -> GroupFigures:
    accepted = decide(cosines[own], threshold)
    genuine, right = same[own], correct[own]

    def rates(weights: Weights) -> list[float]:
        return [
            _share(right, weights, np.ones(len(right), bool)),
            _share(accepted, weights, ~genuine),
            _share(accepted, weights, genuine),
        ]

    # Only the group's own people are resampled.
    _, numbers = np.unique(np.concatenate([people.a[own], people.b[own]]), return_inverse=True)
    within = People(numbers[: len(right)], numbers[len(right) :], int(numbers.max()) + 1)
    accuracy, far, tar = rates(np.ones(len(right)))
    intervals = bootstrap(within, rates, replicates)
    genuine_count = int(genuine.sum())
    impostor_count = len(genuine) - genuine_count
    return GroupFigures(
        name,
        genuine_count,
        impostor_count,
        accuracy,
        intervals[0],
        far if impostor_count else None,
        intervals[1],
        tar if genuine_count else None,
        intervals[2],
        min(genuine_count, impostor_count) < FEW,
    )


def _share(of: Bools, weights: Weights, among: Bools) -> float:
    total = weights[among].sum()
    return float(weights[among & of].sum() / total) if total else float("nan")
