"""Faces mixed from two people: photographs of nobody, for a student to learn its teacher's word on.

H. Zhang et al., *mixup: Beyond Empirical Risk Minimization*, 2018; L. Beyer et al., *Knowledge distillation: A good
teacher is patient and consistent*, 2022 (mixed pictures for a student to agree on). Crops are aligned, so a mean of two
is a face as well, and few people become many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import source_of
from facever.training.crops import CropSet
from facever.training.sampler import even_shares

# How many are made of each photograph. Each costs the teacher one look, and is seen more than once in a long training.
A_PHOTOGRAPH = 4
# The share of the first face; the second has the rest. Near the ends of [0, 1] a mixture is not much of a new face.
LEAST, MOST = 0.3, 0.7


@dataclass(frozen=True, slots=True)
class Mixtures:
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
        """The mixed crops, with their margin, of some of the mixtures."""
        first, second = (crops.padded(rows[chosen]) for rows in (self.first, self.second))
        share = self.share[chosen][:, None, None, None]
        return np.rint(second + share * (first.astype(np.float32) - second)).astype(np.uint8)


def draw_mixtures(identities: Sequence[str], seed: int) -> Mixtures:
    """`A_PHOTOGRAPH` mixtures for each row, of two rows of one source; sources, and people in each, are drawn evenly.

    The two are of one person about as often as two of the source are, and are left so.
    """
    generator = np.random.default_rng([seed, 1])
    shares = even_shares(identities)
    count = A_PHOTOGRAPH * len(identities)
    first = generator.choice(len(identities), count, p=shares)
    second = np.empty_like(first)
    sources = np.array([source_of(name) for name in identities])
    for source in np.unique(sources):
        rows, wanted = np.flatnonzero(sources == source), sources[first] == source
        of_source = shares[rows] / shares[rows].sum()
        second[wanted] = generator.choice(rows, int(wanted.sum()), p=of_source)
    share = generator.uniform(LEAST, MOST, count).astype(np.float32)
    return Mixtures(first, second, share)
