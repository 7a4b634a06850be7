"""From the faces of two photographs to an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError, NoFaceError, PoorPhotographError, SettingError
from facever.faces.pipeline import EmbeddedFace, FaceRule, PhotoResult, check_rule
from facever.scoring import decide
from facever.weights.metadata import WeightsInfo
from facever.weights.records import WeightsId

PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether two photographs show the same person.

    Attributes
    ----------
    cosine : float
        Of the two embeddings, in [-1, 1].
    same : bool
        cosine >= threshold.
    threshold : float
    far : float or None
        The false accept rate that the threshold promises; None for a threshold of the caller's.
    norms : two floats
        Feature norms: lengths before normalization.
    boxes : two lists of four floats
        x0, y0, x1, y1 of the compared faces, in pixels of the upright photographs.
    faces_found : two ints
        Number of faces in each photograph.
    weights : WeightsId
        Name and hash of the weights.
    prior : float
        Probability of the same person before the photographs are seen.
    log_likelihood_ratio : float or None
        Natural logarithm of the likelihood ratio: how much likelier the cosine is for one person than for two. None
        without a calibration.
    probability : float or None
        Of the same person, from the prior and that ratio.
    quality : two floats or Nones
        Percentiles, in [0, 100], of the norms among the identities of the calibration; None without one.
    warnings : strs
        What is missing of photographs that were read all the same.
    """

    cosine: float
    same: bool
    threshold: float
    far: float | None
    norms: tuple[float, float]
    boxes: tuple[list[float], list[float]]
    faces_found: tuple[int, int]
    weights: WeightsId
    prior: float = PRIOR
    log_likelihood_ratio: float | None = None
    probability: float | None = None
    quality: tuple[float | None, float | None] = (None, None)
    warnings: tuple[str, ...] = ()


class Question:
    """How to answer: which faces to compare, and what decides.

    Parameters
    ----------
    info, weights : WeightsInfo, WeightsId
        Of the weights that made the embeddings.
    faces, threshold, far, prior, min_quality
        As for `Verifier.verify`.

    Raises
    ------
    WeightsError
        If the weights lack a threshold for `far`, a likelihood ratio for a given prior, or a useful record of quality
        for a given `min_quality`.
    SettingError
        For a number out of range.
    """

    def __init__(
        self,
        info: WeightsInfo,
        weights: WeightsId,
        faces: FaceRule = "largest",
        threshold: float | None = None,
        far: float | None = None,
        prior: float | None = None,
        min_quality: float | None = None,
    ) -> None:
        check_rule(faces)
        if threshold is not None and not -1 <= threshold <= 1:
            raise SettingError(f"is a cosine in [-1, 1], not {threshold}", "threshold")
        if prior is not None:
            if not 0 < prior < 1:
                raise SettingError(f"is a probability between 0 and 1, not {prior}", "prior")
            info.likelihood_for_prior()
        if min_quality is not None:
            if not 0 <= min_quality <= 100:
                raise SettingError(f"is a percentile in [0, 100], not {min_quality}", "min_quality")
            info.quality_to_decline_by()
        self.info, self.weights, self.faces, self.min_quality = info, weights, faces, min_quality
        self.far: float | None = None
        if threshold is None:
            stored = info.threshold(far)
            self.threshold, self.far = stored.cosine, stored.far
        else:
            self.threshold = float(threshold)
        self.prior = PRIOR if prior is None else prior

    def answer(self, a: PhotoResult, b: PhotoResult) -> Answer:
        """Compare the faces of two photographs.

        Raises
        ------
        DataError, NoFaceError
            If a photograph couldn't be read, or shows no face.
        PoorPhotographError
            If the quality of one is below `min_quality`.
        """
        for result in (a, b):
            if not result.readable:
                raise DataError("; ".join(result.problems))
            if not result.faces:
                raise NoFaceError(
                    f"{result.source}: no face found; use a photograph of a face that is larger, sharper or nearer to "
                    "frontal"
                )
        face_a, face_b, cosine = _most_similar(a.faces, b.faces)
        assert face_a.norm is not None and face_b.norm is not None
        quality = (self._quality(face_a.norm), self._quality(face_b.norm))
        if self.min_quality is not None:
            _check_quality((a.source, b.source), quality, self.min_quality)
        line = self.info.likelihood
        return Answer(
            cosine=cosine,
            same=bool(decide(np.array([cosine]), self.threshold)[0]),
            threshold=self.threshold,
            far=self.far,
            norms=(face_a.norm, face_b.norm),
            boxes=(_rounded(face_a.face.box), _rounded(face_b.face.box)),
            faces_found=(a.found, b.found),
            weights=self.weights,
            prior=self.prior,
            log_likelihood_ratio=None if line is None else line.log_ratio(cosine),
            probability=None if line is None else line.probability(cosine, self.prior),
            quality=quality,
            warnings=(*a.warnings, *b.warnings),
        )

    def _quality(self, norm: float) -> float | None:
        return None if self.info.quality is None else self.info.quality.percentile(norm)


def _check_quality(names: tuple[str, str], quality: tuple[float | None, float | None], least: float) -> None:
    # Rounded down, so that a value below the limit never reads as if it reached it.
    poor = [
        f"{name}: photograph too poor to decide, at percentile {math.floor(10 * value) / 10:g} of quality"
        for name, value in zip(names, quality, strict=True)
        if value is not None and value < least
    ]
    if poor:
        raise PoorPhotographError(
            f"{'; '.join(poor)}, where {least:g} is asked for; use one that is sharper, larger or nearer to frontal"
        )


def _most_similar(a: list[EmbeddedFace], b: list[EmbeddedFace]) -> tuple[EmbeddedFace, EmbeddedFace, float]:
    x, y = (np.array([face.embedding for face in faces], np.float32) for faces in (a, b))
    cosines = x @ y.T  # (faces of a, faces of b)
    i, j = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return a[i], b[j], float(np.clip(cosines[i, j], -1.0, 1.0))


def _rounded(box: NDArray[np.float32]) -> list[float]:
    return [round(float(x), 1) for x in box]
