"""Average linkage of faces along a graph of neighbors, with a threshold that knows both clusters.

The mean cosine of all pairs of two clusters is the product of their sums of unit vectors, divided by both sizes: no
matrix of pairs is needed, and memory grows with the number of faces.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.gallery.faces import RowNumbers, Vectors

Floats = NDArray[np.float64]
# The least mean cosine for clusters of a and of b faces to be one.
Threshold = Callable[[int, NDArray[np.int64]], Floats]


@dataclass(slots=True)
class Known:
    """What is known of a cluster besides its embeddings.

    Attributes
    ----------
    photographs : set of int
        Of its faces, those that show other faces, too.
    people, others : set of str
        Whom it is known to be, and not to be.
    name : str or None
        Two clusters of different names are two people.
    """

    photographs: set[int]
    people: set[str]
    others: set[str]
    name: str | None = None

    def forbids(self, other: Known) -> bool:
        """Whether they can't be one person."""
        if self.name is not None and other.name is not None and self.name != other.name:
            return True
        return not (self.people.isdisjoint(other.others) and other.people.isdisjoint(self.others))

    def join(self, other: Known) -> None:
        self.photographs |= other.photographs
        self.people |= other.people
        self.others |= other.others
        self.name = other.name if self.name is None else self.name


class Linkage:
    """Clusters of n faces that are merged, the most alike ones first.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, d), unit length
    levels : float64 ndarray of shape (n,)
        What each face's cosines lie above those of other faces in general; half the mean of both levels is subtracted.
    graph : sequence of n int64 ndarrays
        Of each face, those that it may be merged with directly.
    known : sequence of n Known
    threshold : Threshold
    penalty : float
        What the mean cosine loses where each face of the smaller cluster shares a photograph with one of the larger.
    """

    def __init__(
        self,
        vectors: Vectors,
        levels: Floats,
        graph: Sequence[RowNumbers],
        known: Sequence[Known],
        threshold: Threshold,
        penalty: float,
    ) -> None:
        n = len(vectors)
        self.sums, self.levels, self.graph, self.known = vectors.copy(), levels.copy(), list(graph), list(known)
        self.threshold, self.penalty = threshold, penalty
        self.sizes = np.ones(n, np.int64)
        self.parents = np.arange(n)  # a cluster is known by one of its faces, its root
        self.versions = np.zeros(n, np.int64)

    def labels(self) -> RowNumbers:
        """The root of each face's cluster, (n,)."""
        return self.roots(np.arange(len(self.parents)))

    def roots(self, faces: RowNumbers) -> RowNumbers:
        """The roots of the clusters of some faces."""
        found = self.parents[faces]
        while True:
            further = self.parents[found]
            if np.array_equal(further, found):
                break
            found = further
        self.parents[faces] = found
        return found

    def similarity(self, one: int, others: RowNumbers) -> Floats:
        """The mean cosine to other clusters, less their levels and what shared photographs say against it, (m,)."""
        cosines = (self.sums[others] @ self.sums[one]).astype(np.float64) / (self.sizes[one] * self.sizes[others])
        cosines -= (self.levels[one] / self.sizes[one] + self.levels[others] / self.sizes[others]) / 4
        mine = self.known[one].photographs
        if mine and self.penalty:
            for i, other in enumerate(others.tolist()):
                if shared := len(mine & self.known[other].photographs):
                    cosines[i] -= self.penalty * min(1.0, shared / min(self.sizes[one], self.sizes[other]))
        return cosines

    def neighbors(self, one: int) -> RowNumbers:
        """The clusters that one may be merged with."""
        found = np.unique(self.roots(self.graph[one]))
        self.graph[one] = found = found[found != one]
        return found

    def join(self, a: int, b: int) -> int:
        """Merge two clusters; returns the root."""
        if self.sizes[a] < self.sizes[b]:
            a, b = b, a
        self.sums[a] += self.sums[b]
        self.levels[a] += self.levels[b]
        self.sizes[a] += self.sizes[b]
        self.parents[b] = a
        self.graph[a] = np.concatenate([self.graph[a], self.graph[b]])
        self.graph[b] = np.empty(0, np.int64)
        self.known[a].join(self.known[b])
        self.versions[[a, b]] += 1
        return a

    def merge(self, active: NDArray[np.bool_]) -> None:
        """Merge the most alike clusters, again and again, as long as two reach their threshold and nothing forbids it.

        Parameters
        ----------
        active : bool ndarray of shape (n,)
            The roots that take part.
        """
        queue: list[tuple[float, int, int, int, int]] = []
        for one in np.unique(self.labels()).tolist():
            if active[one]:
                self._propose(one, queue, active, one)
        heapq.heapify(queue)
        while queue:
            _, a, b, version_a, version_b = heapq.heappop(queue)
            if self.versions[a] == version_a and self.versions[b] == version_b:
                found: list[tuple[float, int, int, int, int]] = []
                self._propose(self.join(a, b), found, active)
                for each in found:
                    heapq.heappush(queue, each)

    def _propose(
        self, one: int, queue: list[tuple[float, int, int, int, int]], active: NDArray[np.bool_], above: int = -1
    ) -> None:
        others = self.neighbors(one)
        others = others[active[others] & (others > above)]
        if not len(others):
            return
        likeness = self.similarity(one, others)
        enough = likeness >= self.threshold(int(self.sizes[one]), self.sizes[others])
        for other, value in zip(others[enough].tolist(), likeness[enough].tolist(), strict=True):
            if not self.known[one].forbids(self.known[other]):
                queue.append((-value, one, other, int(self.versions[one]), int(self.versions[other])))

    def best(self, one: int, active: NDArray[np.bool_]) -> int:
        """The most alike cluster that reaches the threshold, and that nothing forbids; -1 where there is none."""
        found: list[tuple[float, int, int, int, int]] = []
        self._propose(one, found, active)
        return min(found)[2] if found else -1


def symmetric(faces: RowNumbers, kept: NDArray[np.bool_]) -> list[RowNumbers]:
    """A graph of neighbors in both directions: of each of n faces those it names, and those that name it.

    Parameters
    ----------
    faces : int64 ndarray of shape (n, k)
    kept : bool ndarray of shape (n, k)
        Which of them count.
    """
    from scipy.sparse import coo_array

    n = len(faces)
    start, end = np.nonzero(kept)[0], faces[kept]
    ones = np.ones(2 * len(start), np.int8)
    pairs = coo_array((ones, (np.r_[start, end], np.r_[end, start])), shape=(n, n)).tocsr()
    return [pairs.indices[pairs.indptr[i] : pairs.indptr[i + 1]].astype(np.int64) for i in range(n)]
