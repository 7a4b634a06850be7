"""Validation: verification of held-out identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.metrics import best_threshold, pairwise_cosines, tar_at_far
from facever.metrics.rates import rarest_far
from facever.scoring import decide
from facever.training.held_out import by_source, tar_by_source

PAIRS = 6000
RAREST = 1e-3  # FAR


@dataclass(frozen=True, slots=True)
class Validation:
    """Verification of held-out identities.

    Attributes
    ----------
    accuracy : float
        On at most `PAIRS` pairs, half of them genuine, at their best threshold.
    tar : float or None
        TAR at `far` over all pairs; None where they are too few for any FAR.
    tar_by_source : dict
        TAR at `far` within each source with pairs enough, relatives left out.
    far : float or None
        1e-3, or the rarest above it that all pairs, and those of each source with enough for any, support.
    """

    accuracy: float
    tar: float | None
    tar_by_source: dict[str, float]
    far: float | None = RAREST

    @property
    def score(self) -> float:
        """What chooses the best network of a training: the mean of the sources' TAR, so that each counts.

        The accuracy where there is no TAR.
        """
        if self.tar_by_source:
            return sum(self.tar_by_source.values()) / len(self.tar_by_source)
        return self.accuracy if self.tar is None else self.tar


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
    far = rarest_far(len(impostor), RAREST)
    if far is None:
        return Validation(accuracy, None, {}, None)
    apart = by_source(embeddings, identities, sources)
    far = max(far, *(rarest_far(len(pairs.strangers), RAREST) or far for pairs in apart.values()), far)
    return Validation(accuracy, tar_at_far(genuine, impostor, far), tar_by_source(apart, far), far)
