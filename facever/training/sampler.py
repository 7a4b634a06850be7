"""In which order a training sees its photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import source_of


class Order:
    """The rows of each batch; those of an epoch follow from the seed and the epoch's number.

    Parameters
    ----------
    identities : n str
        The person of each row.
    batch_size : int
    even : bool
        False: each row once an epoch, in a fresh permutation, the odd rest left out. True: rows drawn with
        replacement, so that every source has the same share and, within a source, every identity.
    seed : int
    """

    def __init__(self, identities: Sequence[str], batch_size: int, even: bool, seed: int) -> None:
        self.count, self.seed = len(identities), seed
        self.batch_size = min(batch_size, self.count)
        self.batches = max(1, self.count // self.batch_size)
        self.shares = even_shares(identities) if even else None
        self._drawn: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def rows(self, step: int) -> NDArray[np.int64]:
        """Of the batch of that step, int64 (batch_size,), sorted, so that memory is read in one direction."""
        epoch, batch = divmod(step, self.batches)
        if self._drawn[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            if self.shares is None:
                drawn = generator.permutation(self.count)
            else:
                drawn = generator.choice(self.count, self.batches * self.batch_size, p=self.shares)
            self._drawn = (epoch, drawn)
        return np.sort(self._drawn[1][batch * self.batch_size : (batch + 1) * self.batch_size])


def even_shares(identities: Sequence[str]) -> NDArray[np.float64]:
    """How often each row is drawn so that sources, and within each its identities, are drawn equally often. (n,)"""
    names, rows = np.unique(np.asarray(identities), return_inverse=True)
    photographs = np.bincount(rows)
    sources, source_of_name = np.unique([source_of(name) for name in names], return_inverse=True)
    people = np.bincount(source_of_name)
    return 1 / (len(sources) * people[source_of_name] * photographs)[rows]
