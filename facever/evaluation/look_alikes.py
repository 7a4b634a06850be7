"""Groups of look-alikes for an evaluation: people grouped by a network that is not the one under test."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facever.faces.alignment import align
from facever.faces.embedder import Embedder
from facever.faces.images import ImageArray
from facever.weights.alignment import Alignment

BATCH = 32


def grouping_weights(network: str) -> str:
    """The shipped weights that group the people for a network: dlib's, or a MobileFaceNet for networks of dlib's kind.

    Examples
    --------
    >>> grouping_weights("mobilefacenet"), grouping_weights("resnet29_twin")
    ('dlib', 'mobilefacenet')
    """
    return "mobilefacenet" if network.startswith("resnet29") else "dlib"


class GroupingEmbedder:
    """Embeds crops that were cut for another network: they are aligned anew, from the template they were cut by.

    Parameters
    ----------
    weights : str
        A name, as `grouping_weights` gives it.
    alignment : Alignment
        Of the crops.
    device : str
    """

    def __init__(self, weights: str, alignment: Alignment, device: str = "auto") -> None:
        self.weights, self.alignment = weights, alignment
        self._embedder = Embedder.load(weights, device, mirrored=False)  # groups need no better embeddings

    def __call__(self, crops: Iterable[ImageArray]) -> NDArray[np.float32]:
        """Unit embeddings, float32 (n, k), of RGB uint8 crops."""
        landmarks, own = np.array(self.alignment.landmarks), self._embedder.info.alignment
        rest = (align(crop, landmarks, own) for crop in crops)
        parts = [np.empty((0, self._embedder.network.embedding_size), np.float32)]
        while batch := list(islice(rest, BATCH)):
            parts.append(self._embedder(np.stack(batch), BATCH)[0])
        return np.concatenate(parts)
