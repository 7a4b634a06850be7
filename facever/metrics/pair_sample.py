"""A sample of all pairs, small whatever their number, that keeps the high scores which determine thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facever.metrics.all_pairs import BINS, AllPairs, bin_of, blocks
from facever.metrics.rates import Integers

Floats = npt.NDArray[np.float64]

# From so many pairs a rate has a relative standard error of 0.4 %, a fraction of that from the choice of people.
KEEP = 1 << 16
GROWTH = 4


@dataclass(frozen=True, slots=True)
class PairSample:
    """Scored pairs, each representing one or more.

    Attributes
    ----------
    cosines : float64 ndarray of shape (m,)
    a, b : int64 ndarray of shape (m,)
        The person numbers of both sides; equal for genuine pairs.
    counts : float64 ndarray of shape (m,)
        Number of pairs that each represents.
    """

    cosines: Floats
    a: Integers
    b: Integers
    counts: Floats


def sample_pairs(
    embeddings: npt.NDArray[np.float32],
    identities: Integers,
    found: AllPairs,
    keep: int = KEEP,
    seed: int = 0,
    block: int = 512,
) -> tuple[PairSample, PairSample]:
    """Draw genuine and impostor pairs in a second pass over the blocks.

    Keeps the `keep` highest impostor pairs. Of the next 3 * `keep`, and of each band four times as large after that,
    about `keep` are drawn, each representing the ones left out. So every tail of the scores is known from at least
    `keep` pairs (or all it has), and the sample grows with the logarithm of the number of pairs. Of genuine pairs about
    4 * `keep` are drawn.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : ndarray of shape (n,), int from 0
    found : AllPairs
        What `all_pairs` counted of the same embeddings.

    Returns
    -------
    genuine, impostor : PairSample
    """
    generator = np.random.default_rng(seed)
    chance = _chances(found.impostor, keep)
    own_chance = min(1.0, GROWTH * keep / max(found.genuine_pairs, 1))
    parts: tuple[list[npt.NDArray[np.float64]], list[npt.NDArray[np.float64]]] = ([], [])
    for rows, columns, cosines, same, different in blocks(embeddings, identities, block):
        bins = bin_of(cosines)
        drawn = generator.random(cosines.shape, np.float32)
        for part, chosen in zip(parts, (same & (drawn < own_chance), different & (drawn < chance[bins])), strict=True):
            i, j = np.nonzero(chosen)
            people = identities[rows][i], identities[columns][j]
            part.append(np.stack([cosines[i, j], *people, bins[i, j]]).astype(np.float64))
    genuine, impostor = (np.concatenate(part, axis=1) if part else np.empty((4, 0)) for part in parts)
    return (
        _sample(genuine, np.full(genuine.shape[1], 1 / own_chance)),
        _sample(impostor, 1 / chance[impostor[3].astype(np.int64)]),
    )


def _chances(histogram: npt.NDArray[np.int64], keep: int) -> Floats:
    """The chance of a pair in each bin to be kept, (BINS,)."""
    rank = np.cumsum(histogram[::-1])[::-1]  # of a bin's lowest pair, from the highest of all
    band = np.ceil(np.log(np.maximum(rank, 1) / keep) / np.log(GROWTH)).clip(0).astype(np.int64)
    sizes = np.bincount(band, histogram, minlength=int(band.max()) + 1)
    chances: Floats = np.minimum(1.0, keep / np.maximum(sizes, 1))[band]
    assert chances.shape == (BINS,)
    return chances


def _sample(columns: npt.NDArray[np.float64], counts: Floats) -> PairSample:
    return PairSample(columns[0], columns[1].astype(np.int64), columns[2].astype(np.int64), counts)
