"""Mixup of faces, supervised only by the teacher.

H. Zhang et al., *mixup: Beyond Empirical Risk Minimization*, 2018; L. Beyer et al., *Knowledge distillation: A good
teacher is patient and consistent*, 2022 (mixup in distillation). Crops are aligned, so a mean of two is a face as well,
and few people become many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.training.crops import CropSet
from facever.training.sampler import even_shares

# The first face's share; the second has the rest. Near the ends of [0, 1] a mixture is hardly a new face.
LEAST, MOST = 0.3, 0.7


@dataclass(frozen=True, slots=True)
class MixupPairs:
    """share · crop[first] + (1 - share) · crop[second]. `first` and `second` are int64 (q,), `share` float32 (q,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)

    def digest(self) -> str:
        """SHA-256 of all of them, in hexadecimal."""
        return hashlib.sha256(b"".join(each.tobytes() for each in (self.first, self.second, self.share))).hexdigest()

    def of(self, crops: CropSet, chosen: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """The mixed crops, with their margin, of some of the pairs."""
        first, second = (crops.padded(rows[chosen]) for rows in (self.first, self.second))
        share = self.share[chosen][:, None, None, None]
        return np.rint(second + share * (first.astype(np.float32) - second)).astype(np.uint8)


def draw_mixup_pairs(identities: Sequence[str], sources: Sequence[str], seed: int, a_row: int) -> MixupPairs:
    """Draw `a_row` pairs for each row, both of one source; sources, and identities within each, evenly.

    Two rows of one identity occur as often as chance has it.
    """
    generator = np.random.default_rng([seed, 1])
    shares = even_shares(identities, sources)
    count = a_row * len(identities)
    first = generator.choice(len(identities), count, p=shares)
    second = np.empty_like(first)
    of_row = np.array(sources)
    for source in np.unique(of_row):
        rows, wanted = np.flatnonzero(of_row == source), of_row[first] == source
        of_source = shares[rows] / shares[rows].sum()
        second[wanted] = generator.choice(rows, int(wanted.sum()), p=of_source)
    share = generator.uniform(LEAST, MOST, count).astype(np.float32)
    return MixupPairs(first, second, share)
