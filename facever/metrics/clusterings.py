"""How well clusters are people: BCubed and pairwise precision, recall and F, with intervals over people.

E. Amigó, J. Gonzalo, J. Artiles, F. Verdejo, *A comparison of extrinsic clustering evaluation metrics based on formal
constraints*, 2009: BCubed asks of each face what share of its cluster is the same person (precision), and what share
of its person is in its cluster (recall). Pairwise figures ask the same of pairs, so that large clusters weigh more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.metrics.bootstrap import REPLICATES, Interval, interval, resampled_people

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Precision, recall and their harmonic mean F, in [0, 1], each with a 95 % interval by a bootstrap over people."""

    precision: float
    recall: float
    f: float
    precision_interval: Interval
    recall_interval: Interval
    f_interval: Interval


@dataclass(frozen=True, slots=True)
class Mistake:
    """A cluster of several people, or a person in several clusters.

    Attributes
    ----------
    what : int
        The cluster, or the person.
    parts : list of (int, int)
        The people, or the clusters, each with its number of faces, the largest first.
    pairs : int
        Of faces that are wrongly together, or apart.
    """

    what: int
    parts: list[tuple[int, int]]
    pairs: int


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """What clusters are worth against people who are known.

    Attributes
    ----------
    faces, people, clusters : int
    singletons : int
        Clusters of one face.
    bcubed, pairwise : Agreement
        A pairwise figure without a pair is NaN.
    merges, splits : list of Mistake
        By descending number of pairs.
    """

    faces: int
    people: int
    clusters: int
    singletons: int
    bcubed: Agreement
    pairwise: Agreement
    merges: list[Mistake]
    splits: list[Mistake]

    def to_json(self) -> dict[str, Any]:
        """All of it; NaN is null."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


@dataclass(frozen=True, slots=True)
class NamedFigures:
    """Figures, with the names of people and photographs.

    Attributes
    ----------
    figures : ClusterFigures
    people : list of str
        By their number.
    photographs : list of str
        Of each face.
    clusters, labels : int64 ndarray of shape (n,)
        Of each face: the cluster, none negative, and the person.
    without_face : list of str
        Photographs whose center crop counts.
    thresholds : dict
        The mean cosine for two faces and for large clusters.
    """

    figures: ClusterFigures
    people: list[str]
    photographs: list[str]
    clusters: Integers
    labels: Integers
    without_face: list[str]
    thresholds: dict[str, float]

    def merged(self, mistake: Mistake) -> str:
        """Who is in one cluster, in words."""
        return ", ".join(f"{self.people[person]} {count}" for person, count in mistake.parts)

    def split(self, mistake: Mistake) -> str:
        """Into what a person falls, in words."""
        return f"{self.people[mistake.what]}: {' + '.join(str(count) for _, count in mistake.parts)} faces"

    def to_json(self) -> dict[str, Any]:
        """The figures, the mistakes with names, and the thresholds."""
        found = self.figures.to_json()
        found["merges"] = [
            {
                "pairs": each.pairs,
                "people": {self.people[person]: count for person, count in each.parts},
                "photographs": [self.photographs[i] for i in np.flatnonzero(self.clusters == each.what).tolist()],
            }
            for each in self.figures.merges
        ]
        found["splits"] = [
            {"pairs": each.pairs, "person": self.people[each.what], "faces": [count for _, count in each.parts]}
            for each in self.figures.splits
        ]
        return {**found, "without_face": self.without_face, "thresholds": self.thresholds}


def cluster_figures(
    clusters: Sequence[int] | Integers, people: Sequence[int] | Integers, worst: int = 10, replicates: int = REPLICATES
) -> ClusterFigures:
    """Compare clusters with people.

    Parameters
    ----------
    clusters, people : n integers
        Of each face; a negative cluster is a face alone.
    worst : int
        How many mistakes of each kind to list.
    replicates : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        Without a face, or if the numbers of faces differ.

    Examples
    --------
    >>> figures = cluster_figures([0, 0, 0, 1], [0, 0, 1, 1], replicates=0)
    >>> figures.bcubed.precision, figures.bcubed.recall  # (2/3 + 2/3 + 1/3 + 1) / 4, (1 + 1 + 1/2 + 1/2) / 4
    (0.6666666666666666, 0.75)
    """
    found = alone(np.asarray(clusters, np.int64))
    truth = np.asarray(people, np.int64)
    if not len(found) or len(found) != len(truth):
        raise ValueError(f"{len(found)} clusters for {len(truth)} faces")
    _, c = np.unique(found, return_inverse=True)
    named, p = np.unique(truth, return_inverse=True)
    numbers = np.unique(found)
    keys, cell, counts = np.unique(c * (p.max() + 1) + p, return_inverse=True, return_counts=True)
    cell_c, cell_p = keys // (p.max() + 1), keys % (p.max() + 1)
    of_cluster, of_person = np.bincount(c), np.bincount(p)
    both = counts[cell]
    faces = of_person.astype(np.float64)
    precision = np.bincount(p, weights=both / of_cluster[c])  # sums over each person's faces
    recall = np.bincount(p, both / of_person[p])
    right = np.bincount(cell_p, _pairs(counts))
    wrong = np.bincount(cell_p, counts * (of_cluster[cell_c] - counts) / 2)  # half of a pair to each of its two people
    merged = np.bincount(cell_c, counts * (of_cluster[cell_c] - counts) / 2)
    parted = np.bincount(cell_p, counts * (of_person[cell_p] - counts) / 2)
    return ClusterFigures(
        len(c),
        len(of_person),
        len(of_cluster),
        int((of_cluster == 1).sum()),
        _agreement(precision, faces, recall, faces, replicates),
        _agreement(right, right + wrong, right, _pairs(of_person), replicates),
        _mistakes(merged, cell_c, cell_p, counts, numbers, named, worst),
        _mistakes(parted, cell_p, cell_c, counts, named, numbers, worst),
    )


def alone(clusters: Integers) -> Integers:
    """Clusters with a number of its own for each negative one."""
    found = clusters.copy()
    out = found < 0
    found[out] = found.max(initial=-1) + 1 + np.arange(out.sum())
    return found


def _agreement(right: Any, said: Any, also_right: Any, there: Any, replicates: int) -> Agreement:
    """Of sums per person, (people,): right among what was said, and right among what is there."""

    def values(drawn: Floats) -> tuple[float, float, float]:
        said_all, there_all = float(drawn @ said), float(drawn @ there)
        precision = float(drawn @ right) / said_all if said_all else np.nan
        recall = float(drawn @ also_right) / there_all if there_all else np.nan
        both = precision + recall
        return precision, recall, 2 * precision * recall / both if both else 0.0 if both == 0 else np.nan

    count = len(there)
    draws = resampled_people(count, replicates) if count > 1 else iter(())
    found = np.array([values(drawn.astype(np.float64)) for drawn in draws]).reshape(-1, 3)
    return Agreement(*values(np.ones(count)), *(interval(column) for column in found.T))


def _mistakes(
    pairs: Any, what: Integers, part: Integers, counts: Integers, names: Integers, parts: Integers, worst: int
) -> list[Mistake]:
    order = np.argsort(-pairs, kind="stable")[:worst]
    found = []
    for each in order[pairs[order] > 0].tolist():
        cells = np.flatnonzero(what == each)
        cells = cells[np.argsort(-counts[cells], kind="stable")]
        among = [(int(parts[part[cell]]), int(counts[cell])) for cell in cells]
        found.append(Mistake(int(names[each]), among, round(float(pairs[each]))))
    return found


def _pairs(counts: Integers) -> Floats:
    return counts * (counts - 1) / 2.0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
