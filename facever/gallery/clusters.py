"""Faces to people, by average linkage at a threshold that follows the data.

What an album holds decides how alike two faces must be: among 7,000 faces of people with two photographs each nearly
all pairs are strangers, among 1,000 faces of a family many are not. The share of pairs of one person is estimated from
the cosines themselves (`Rule.of`), and two faces are linked where links between strangers are few among all links.
`benchmarks/clusters.py` compares this with other methods, each at its best setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.errors import WeightsError
from facever.gallery.faces import RowNumbers, Vectors
from facever.gallery.linkage import Floats, Known, Linkage, symmetric
from facever.gallery.neighbors import Neighbors, neighbors
from facever.weights.metadata import WeightsInfo

NEIGHBORS, LINKS = 100, 50
# A link between strangers for so many links, at two single faces.
LINKS_A_MISTAKE = 16
# From so many faces a person on, large clusters are merged as by the lower threshold, to the most part.
SEVERAL_FACES = 8
# Neighbors of other people beyond these ranks say how alike a face is to strangers; they are so many at the least.
FIRST_STRANGER, LEAST_STRANGERS = 30, 20
# Two faces of one photograph are one person (a collage, a mirror) where strangers are that alike so much more rarely.
RARER_IN_A_PHOTOGRAPH = 1e-3
# An earlier face moves where another person is more alike by what lowers the false match rate so much.
RARER_TO_MOVE = 0.1


@dataclass(frozen=True, slots=True)
class Rule:
    """The least mean cosine at which two clusters are one person.

    Attributes
    ----------
    single, large : float
        Of two faces; and the limit for large clusters, where the mean of many pairs says more.
    weight : float
        In [0, 1], how far large clusters may go from the one to the other: people of few faces have no large clusters,
        and what looks like one is look-alikes.
    together : float
        What faces that share photographs need in addition.
    move : float
        By what another person must be more alike for an earlier face to move.
    """

    single: float
    large: float
    weight: float
    together: float
    move: float

    @classmethod
    def of(cls, info: WeightsInfo, alike: float, count: int, single: float | None = None) -> Rule:
        """The rule for `count` faces of which a share `alike` of all pairs reaches `reference(info)`.

        With FMR and TAR of that threshold, the share g of genuine pairs follows from alike = g TAR + (1 - g) FMR. Two
        faces are linked at the cosine that strangers reach with a rate of g / `LINKS_A_MISTAKE`, or at `single`.

        Raises
        ------
        WeightsError
            If the weights hold no tail of impostor cosines, or no thresholds.
        """
        if info.tail is None or not info.thresholds:
            raise WeightsError(
                f"the weights {info.name!r} hold no tail of impostor cosines; calibrate them by facever calibrate, or "
                "give a cosine by --threshold"
            )
        tail, known = info.tail, min(info.thresholds, key=lambda each: each.far)
        genuine = (alike - known.far) / max(known.tar - known.far, 1e-6)
        genuine = min(max(genuine, 2 / max(count * (count - 1), 2)), 1.0)
        found = tail.cosine(genuine / LINKS_A_MISTAKE) if single is None else single
        mates = genuine * count
        rarer = tail.cosine(tail.rate * RARER_TO_MOVE) - tail.start
        together = tail.cosine(tail.rate * RARER_IN_A_PHOTOGRAPH) - tail.start
        return cls(found, min(tail.start, found), mates / (mates + SEVERAL_FACES), together, rarer)

    @classmethod
    def fixed(cls, threshold: float) -> Rule:
        """One cosine for all."""
        return cls(threshold, threshold, 0.0, (1 - threshold) / 2, (1 - threshold) / 4)

    @property
    def lowest(self) -> float:
        """What the threshold of large clusters comes down to."""
        return self.single - (self.single - self.large) * self.weight

    def __call__(self, a: int, b: NDArray[np.int64]) -> Floats:
        """The threshold for clusters of a and of b faces, (n,)."""
        share = 1 - 1 / (a * b.astype(np.float64))
        return np.asarray(self.single - (self.single - self.large) * self.weight * share, np.float64)


def reference(info: WeightsInfo | None) -> float:
    """The stored threshold with the lowest false accept rate; pairs at or above it are counted."""
    return min(info.thresholds, key=lambda each: each.far).cosine if info is not None and info.thresholds else 1.0


@dataclass(frozen=True, slots=True)
class Groups:
    """The clusters of n faces.

    Attributes
    ----------
    labels : int64 ndarray of shape (n,)
        A face of each cluster stands for it; -1 for a poor face that is like nobody.
    cosines : float64 ndarray of shape (n,)
        The mean cosine to the other faces of its cluster; 1 for a face alone.
    rivals : int64 ndarray of shape (n,)
        The label of the most alike other cluster among the neighbors; -1 without one.
    rival_cosines : float64 ndarray of shape (n,)
    """

    labels: RowNumbers
    cosines: Floats
    rivals: RowNumbers
    rival_cosines: Floats


def group(
    vectors: Vectors,
    found: Neighbors,
    rule: Rule,
    poor: NDArray[np.bool_] | None = None,
    photographs: RowNumbers | None = None,
    before: Sequence[int] | RowNumbers | None = None,
    fixed: NDArray[np.bool_] | None = None,
    known: Sequence[Known] | None = None,
) -> Groups:
    """Group faces into people.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, d), unit length
    found : Neighbors
    rule : Rule
    poor : bool ndarray of shape (n,), optional
        Faces that join a cluster, and never found one.
    photographs : int64 ndarray of shape (n,), optional
        The number of each face's photograph.
    before : int64 ndarray of shape (n,), optional
        The number of whom each face was before; -1 for a new one. Those who were together stay so, unless another
        person is clearly more alike.
    fixed : bool ndarray of shape (n,), optional
        Faces that stay where they were in any case.
    known : sequence of n Known, optional
        What decisions say of each face.
    """
    n = len(vectors)
    poor = np.zeros(n, bool) if poor is None else poor
    before = np.full(n, -1) if before is None else np.asarray(before, np.int64)
    fixed = np.zeros(n, bool) if fixed is None else fixed
    shared = _shared(photographs, n)
    facts = [Known(set(), set(), set()) for _ in range(n)] if known is None else list(known)
    kept = _kept(vectors, found, rule, before, fixed, facts)
    facts = [
        Known(set(), set(), fact.others) if was >= 0 and now < 0 else fact
        for fact, was, now in zip(facts, before.tolist(), kept.tolist(), strict=True)
    ]
    near = found.faces[:, :LINKS]
    graph = symmetric(near, found.cosines[:, :LINKS] >= rule.large - rule.together)

    def link(levels: Floats) -> Linkage:
        copies = [Known(set(shared[i]), set(fact.people), set(fact.others), fact.name) for i, fact in enumerate(facts)]
        linkage = Linkage(vectors, levels, graph, copies, rule, rule.together)
        _keep(linkage, kept)
        waiting = poor & (linkage.sizes[linkage.labels()] == 1) & ~fixed
        linkage.merge(~waiting)
        choices = [(i, linkage.best(i, ~waiting)) for i in np.flatnonzero(waiting).tolist()]
        for i, other in choices:
            if other >= 0 and not linkage.known[i].forbids(linkage.known[other]):
                linkage.join(other, i)
        return linkage

    linkage = link(np.zeros(n))
    linkage = link(_levels(found, linkage.labels()))
    labels = linkage.labels()
    nobody = poor & ~fixed & (linkage.sizes[labels] == 1)
    cosines, rivals, rival_cosines = _compared(vectors, found, labels, ~nobody)
    labels[nobody] = -1
    return Groups(labels, cosines, rivals, rival_cosines)


def _keep(linkage: Linkage, before: RowNumbers) -> None:
    """Join those who were together."""
    first: dict[int, int] = {}
    for i, who in enumerate(before.tolist()):
        if who >= 0:
            first[who] = linkage.join(first[who], i) if who in first else i


def _kept(
    vectors: Vectors,
    found: Neighbors,
    rule: Rule,
    before: RowNumbers,
    fixed: NDArray[np.bool_],
    known: Sequence[Known],
) -> RowNumbers:
    """`before`, with -1 for faces to which another earlier person is clearly more alike."""
    there = before >= 0
    if not there.any():
        return before
    labels = np.where(there, before, before.max() + 1 + np.arange(len(before)))
    cosines, rivals, rival_cosines = _compared(vectors, found, labels, there)
    sizes = np.bincount(labels)
    kept = before.copy()
    for i in np.flatnonzero(there & ~fixed & (rivals >= 0) & (rival_cosines >= cosines + rule.move)).tolist():
        if sizes[labels[i]] == 1 or rival_cosines[i] < float(rule(1, sizes[rivals[i : i + 1]])[0]):
            continue
        if all(known[i].others.isdisjoint(known[j].people) for j in np.flatnonzero(labels == rivals[i]).tolist()):
            kept[i] = -1
    return kept


def _levels(found: Neighbors, labels: RowNumbers) -> Floats:
    """How alike each face is to strangers: its cosines to neighbors of other people, less the mean of all faces."""
    if found.faces.shape[1] < NEIGHBORS:
        return np.zeros(len(labels))
    stranger = labels[found.faces] != labels[:, None]
    stranger[:, :FIRST_STRANGER] = False
    counts = stranger.sum(axis=1)
    means = np.where(stranger, found.cosines, 0.0).sum(axis=1) / np.maximum(counts, 1)
    enough = counts >= LEAST_STRANGERS
    return np.where(enough, means - means[enough].mean(), 0.0) if enough.any() else np.zeros(len(labels))


def _compared(
    vectors: Vectors, found: Neighbors, labels: RowNumbers, among: NDArray[np.bool_] | None = None
) -> tuple[Floats, RowNumbers, Floats]:
    """The mean cosine of each face to the rest of its cluster, and to the most alike other one, by some neighbors."""
    names, at = np.unique(labels, return_inverse=True)
    sizes = np.bincount(at)
    sums = np.zeros((len(names), vectors.shape[1]), np.float32)
    np.add.at(sums, at, vectors)
    own = np.ones(len(labels))
    rivals, best = np.full(len(labels), -1, np.int64), np.full(len(labels), -np.inf)
    for i in range(len(labels)):
        if sizes[at[i]] > 1:
            own[i] = (float(sums[at[i]] @ vectors[i]) - 1) / (sizes[at[i]] - 1)
        near = found.faces[i, :LINKS]
        others = np.unique(at[near if among is None else near[among[near]]])
        others = others[others != at[i]]
        if len(others):
            cosines = (sums[others] @ vectors[i]) / sizes[others]
            top = int(cosines.argmax())
            rivals[i], best[i] = names[others[top]], float(cosines[top])
    return own, rivals, best


def _shared(photographs: RowNumbers | None, n: int) -> list[set[int]]:
    """Of each face: its photograph, where that shows several."""
    if photographs is None:
        return [set() for _ in range(n)]
    several = np.bincount(photographs, minlength=1) > 1
    return [{photograph} if several[photograph] else set() for photograph in photographs.tolist()]


def nearest_faces(vectors: Vectors, info: WeightsInfo | None) -> Neighbors:
    """What `group` needs."""
    return neighbors(vectors, NEIGHBORS, reference(info))
