"""Thresholds that keep a stated false accept rate, from the embeddings of people who were not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.evaluation import pairwise_cosines
from facever.scoring import impostors_needed, tar_at_threshold, threshold_at_far
from facever.weights import Threshold

FARS = (1e-2, 1e-3)


def thresholds_from(
    embeddings: NDArray[np.float32], identities: Sequence[str], source: str, fars: Sequence[float] = FARS
) -> list[Threshold]:
    """The thresholds for these false accept rates over all pairs of the people given.

    Rates that their impostor pairs can't support (fewer than ten false accepts expected) are left out.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : n str
    source : str
        Who these people are, for the record.
    """
    labels, _ = labels_of(identities)
    genuine, impostor = pairwise_cosines(embeddings, np.array(labels, np.int64))
    thresholds = []
    for far in fars:
        if len(impostor) < impostors_needed(far) or not len(genuine):
            continue
        cosine = threshold_at_far(impostor, far)
        tar = tar_at_threshold(genuine, cosine)
        thresholds.append(Threshold(far, float(cosine), source, len(impostor), float(tar)))
    return thresholds
