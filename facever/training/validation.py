"""Validation: verification of held-out identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.metrics import best_threshold, pairwise_cosines, tar_at_far
from facever.scoring import decide
from facever.training.held_out import tar_by_source

PAIRS = 6000


@dataclass(frozen=True, slots=True)
class Validation:
    """Verification of held-out identities.

    Attributes
    ----------
    accuracy : float
        On at most `PAIRS` pairs, half of them genuine, at their best threshold.
    tar : float
        TAR at FAR 1e-3 over all pairs.
    tar_by_source : dict
        TAR at FAR 1e-3 within each source, relatives left out.
    """

    accuracy: float
    tar: float
    tar_by_source: dict[str, float]

    @property
    def score(self) -> float:
        """What chooses the best network of a training: the mean of the sources' TAR, so that each counts."""
        return sum(self.tar_by_source.values()) / len(self.tar_by_source) if self.tar_by_source else self.tar


def validate(
    embeddings: NDArray[np.float32], identities: Sequence[str], sources: Sequence[str], seed: int
) -> Validation | None:
    """Draw pairs of held-out identities and verify them; None where a kind of pair is missing.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities, sources : n str
    seed : int
        Of the drawn pairs.
    """
    labels, _ = labels_of(identities)
    genuine, impostor = pairwise_cosines(embeddings, np.array(labels, np.int64))
    count = min(len(genuine), len(impostor), PAIRS // 2)
    if not count:
        return None
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(scores, count, replace=False) for scores in (genuine, impostor)]
    cosines, same = np.concatenate(drawn), np.repeat([True, False], count)
    accuracy = float(np.mean(decide(cosines, best_threshold(cosines, same)) == same))
    return Validation(accuracy, tar_at_far(genuine, impostor, 1e-3), tar_by_source(embeddings, identities, sources))
