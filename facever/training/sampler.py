"""Which photographs make up each batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Sampler:
    """The rows of each batch, which follow from the seed and the epoch's number.

    Parameters
    ----------
    count : int
        n, the number of rows.
    batch_size : int
    seed : int
    shares : float64 ndarray of shape (n,), optional
        Draw rows with replacement, each with this probability. Without, each row comes once an epoch, in a fresh
        permutation; the incomplete last batch is left out.
    """

    def __init__(self, count: int, batch_size: int, seed: int, shares: NDArray[np.float64] | None = None) -> None:
        self.count, self.seed, self.shares = count, seed, shares
        self.batch_size = min(batch_size, self.count)
        self.batches = max(1, self.count // self.batch_size)
        self._drawn: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def rows(self, step: int) -> NDArray[np.int64]:
        """The rows of a step's batch, int64 (batch_size,), sorted, so that memory is read in one direction."""
        epoch, batch = divmod(step, self.batches)
        if self._drawn[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            if self.shares is None:
                drawn = generator.permutation(self.count)
            else:
                drawn = generator.choice(self.count, self.batches * self.batch_size, p=self.shares)
            self._drawn = (epoch, drawn)
        return np.sort(self._drawn[1][batch * self.batch_size : (batch + 1) * self.batch_size])


def even_shares(identities: Sequence[str], sources: Sequence[str]) -> NDArray[np.float64]:
    """Probability of each row, (n,), by which sources, and identities within each, are drawn equally often.

    Parameters
    ----------
    identities, sources : n str
        Of each row; an identity has one source.

    Examples
    --------
    >>> even_shares(["Ann", "Ann", "Bob", "Eve"], ["x", "x", "x", "y"]).tolist()
    [0.125, 0.125, 0.25, 0.5]
    """
    _, first, rows = np.unique(np.asarray(identities), return_index=True, return_inverse=True)
    photographs = np.bincount(rows)
    found, source_of_name = np.unique(np.asarray(sources)[first], return_inverse=True)
    people = np.bincount(source_of_name)
    return 1 / (len(found) * people[source_of_name] * photographs)[rows]
