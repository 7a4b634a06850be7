"""Protocols of face verification with facever's own pipeline: photographs in, figures out.

The figures themselves come from `facever.evaluation`, which knows nothing of photographs or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.pairs import Pair, photographs
from facever.errors import DataError
from facever.evaluation import VerificationResult, verification_result
from facever.photographs import Source
from facever.pipeline import FaceRule, Through
from facever.scoring import cosine, far_at_threshold, tar_at_threshold
from facever.verifier import Verifier
from facever.weights import Threshold


@dataclass(frozen=True, slots=True)
class KeptThreshold:
    """What a threshold that the weights promise for `far` does on these pairs."""

    far: float
    cosine: float
    measured_far: float
    measured_tar: float


@dataclass(frozen=True, slots=True)
class PairsResult:
    """The outcome of a protocol.

    Attributes
    ----------
    figures : VerificationResult
    images : int
        Photographs in the pairs, each embedded once.
    images_without_face : list of str
        Those of which the centre crop was embedded; their pairs count like all others.
    thresholds : list of KeptThreshold
    cosines : float64 ndarray of shape (n,), one a pair, in the order of the pairs
    """

    figures: VerificationResult
    images: int
    images_without_face: list[str]
    thresholds: list[KeptThreshold]
    cosines: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        return {
            **self.figures.to_json(),
            "images": self.images,
            "images_without_face": len(self.images_without_face),
            "names_without_face": self.images_without_face,
            "stored_thresholds": [
                {
                    "far": t.far,
                    "cosine": t.cosine,
                    "measured_far": t.measured_far,
                    "measured_tar": t.measured_tar,
                }
                for t in self.thresholds
            ],
        }


def evaluate_pairs(
    verifier: Verifier,
    pairs: Sequence[Pair],
    rule: FaceRule = "center",
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
) -> PairsResult:
    """Embed each photograph of the pairs once, score every pair, and evaluate.

    A photograph without a detected face gets its centre crop: leaving its pairs out would flatter the figures.

    Parameters
    ----------
    through : callable
        Wraps the stream of photographs, of which it is told the number; for a progress bar.

    Raises
    ------
    DataError
        If a photograph can't be read.
    """
    paths = photographs(pairs)
    embeddings, without_face = embed_each(verifier, paths, rule, workers, through)
    index = {path: i for i, path in enumerate(paths)}
    a = embeddings[[index[pair.path_a] for pair in pairs]]
    b = embeddings[[index[pair.path_b] for pair in pairs]]
    cosines = np.asarray(cosine(a.astype(np.float64), b.astype(np.float64)), np.float64)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    figures = verification_result(cosines, same, folds)
    kept = [_kept(threshold, cosines, same) for threshold in verifier.info.thresholds]
    return PairsResult(figures, len(paths), without_face, kept, cosines)


def embed_each(
    verifier: Verifier,
    paths: list[Source],
    rule: FaceRule = "center",
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
) -> tuple[NDArray[np.float32], list[str]]:
    """One unit embedding (n, d) of each photograph, and the names of those that gave their centre crop.

    Raises
    ------
    DataError
        If a photograph can't be read.
    """
    embeddings, without_face, broken = [], [], []
    stream = verifier.embed_files(paths, rule, workers, centre_fallback=True)
    for photograph in through(stream, len(paths)):
        chosen = photograph.faces[0] if photograph.faces else photograph.centre
        if chosen is None:
            broken.append(photograph.problems[0])
            continue
        if not photograph.faces:
            without_face.append(photograph.source)
        embeddings.append(chosen.embedding)
    if broken:
        raise DataError(
            f"{len(broken)} photographs can't be read, the first: {broken[0]}; mend or restore them: "
            "figures without them could not be compared"
        )
    return np.array(embeddings, np.float32), without_face


def _kept(threshold: Threshold, cosines: NDArray[np.float64], same: NDArray[np.bool_]) -> KeptThreshold:
    far = far_at_threshold(cosines[~same], threshold.cosine)
    tar = tar_at_threshold(cosines[same], threshold.cosine)
    return KeptThreshold(threshold.far, threshold.cosine, float(far), float(tar))
