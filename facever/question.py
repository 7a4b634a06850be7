"""From the faces of two photographs to an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facever.answer import AllFaces, Answer, ComparedFace, Decision
from facever.errors import DataError, NoFaceError, SettingError
from facever.faces.doubts import doubts_of
from facever.faces.pipeline import EmbeddedFace, FaceRule, PhotoResult, check_rule, choose_faces
from facever.scoring import Bounds, decide
from facever.weights.metadata import DEFAULT_FAR, WeightsInfo
from facever.weights.records import WeightsId
from facever.weights.thresholds import WorstGroup

DEFAULT_FRR = 0.02
PRIOR = 0.5
# The same picture twice shows one person, however poor it is.
IDENTICAL = 1 - 1e-6
# Of two faces whose sizes differ by less, a hair decides which is the largest.
NEARLY_AS_LARGE = 0.8


def default_bounds(info: WeightsInfo) -> Bounds | None:
    """What decides by default; None where a threshold is not stored."""
    upper = [each.cosine for each in info.thresholds if each.far == DEFAULT_FAR]
    lower = [each.cosine for each in info.lower_thresholds if each.frr == DEFAULT_FRR]
    return Bounds(upper[0], min(lower[0], upper[0]), DEFAULT_FAR, DEFAULT_FRR) if upper and lower else None


class Question:
    """How to answer: which faces to compare, and what decides.

    Parameters
    ----------
    info, weights : WeightsInfo, WeightsId
        Of the weights that made the embeddings.
    faces, threshold, far, frr, prior, min_quality, two_answers
        As for `Verifier.verify`.

    Raises
    ------
    WeightsError
        If the weights lack a threshold for `far` or for a given `frr`, a likelihood ratio for a given prior, or a
        useful record of quality for a given `min_quality`.
    SettingError
        For a number out of range, or settings that exclude each other.
    """

    def __init__(
        self,
        info: WeightsInfo,
        weights: WeightsId,
        faces: FaceRule = "largest",
        threshold: float | None = None,
        far: float | None = None,
        frr: float | None = None,
        prior: float | None = None,
        min_quality: float | None = None,
        two_answers: bool = False,
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
        self.two_answers = two_answers or threshold is not None
        if self.two_answers and frr is not None:
            raise SettingError("goes with three answers; drop it, or what asks for two", "frr")
        self.info, self.weights, self.faces, self.min_quality = info, weights, faces, min_quality
        self.far: float | None = None
        self.worst_group: WorstGroup | None = None
        if threshold is None:
            stored = info.threshold(far)
            self.threshold, self.far, self.worst_group = stored.cosine, stored.far, stored.worst_group
        else:
            self.threshold = float(threshold)
        self.lower_threshold, self.frr = (self.threshold, None) if self.two_answers else self._lower(frr)
        self.prior = PRIOR if prior is None else prior

    def _lower(self, frr: float | None) -> tuple[float, float | None]:
        """The lower threshold and its false reject rate; by default the nearest to `DEFAULT_FRR` from above."""
        if frr is None:
            enough = [each for each in self.info.lower_thresholds if each.frr >= DEFAULT_FRR]
            if not enough:
                return self.threshold, None
            frr = min(each.frr for each in enough)
        lower = self.info.lower_threshold(frr).cosine
        return min(lower, self.threshold), frr

    def answer(self, a: PhotoResult, b: PhotoResult) -> Answer:
        """Compare the faces of two photographs.

        Raises
        ------
        DataError, NoFaceError
            If a photograph couldn't be read, or shows no face.
        """
        for result in (a, b):
            if not result.readable:
                raise DataError("; ".join(result.problems))
            if not result.faces:
                raise NoFaceError(
                    f"{result.source}: no face found; use a photograph of a face that is larger, sharper or nearer to "
                    "frontal, or try --try-rotations if it is turned"
                )
        cosines = _cosines(a.faces, b.faces)
        rows, columns = self._chosen(a), self._chosen(b)
        i, j = _highest(cosines, rows, columns)
        cosine = float(cosines[i, j])
        face_a, face_b = a.faces[i], b.faces[j]
        why = [*self._too_poor_for_the_user(a, face_a), *self._too_poor_for_the_user(b, face_b)]
        if not (self.two_answers or cosine > IDENTICAL):
            why += [*self._doubts(a, face_a), *self._doubts(b, face_b), *_both_covered(a, b, face_a, face_b)]
        decision = self._decision(cosine)
        if decision == "undecided":
            why.insert(0, self._between(cosine))
        line = self.info.likelihood
        return Answer(
            decision="undecided" if why else decision,
            why=why,
            notes=[
                *a.warnings,
                *b.warnings,
                *self._about_choice(a, b, cosines, cosine),
                *_about_face(a, face_a),
                *_about_face(b, face_b),
            ],
            cosine=cosine,
            threshold=self.threshold,
            lower_threshold=self.lower_threshold,
            far=self.far,
            frr=self.frr,
            a=self._compared(a, face_a),
            b=self._compared(b, face_b),
            weights=self.weights,
            prior=self.prior,
            log_likelihood_ratio=None if line is None else line.log_ratio(cosine),
            probability=None if line is None else line.probability(cosine, self.prior),
            worst_group=self.worst_group,
            all_faces=AllFaces(_boxes(a), _boxes(b), cosines.tolist()) if self.faces == "all" else None,
        )

    def _decision(self, cosine: float) -> Decision:
        if decide(np.array([cosine]), self.threshold)[0]:
            return "same"
        return "undecided" if decide(np.array([cosine]), self.lower_threshold)[0] else "different"

    def _between(self, cosine: float) -> str:
        return (
            f"cosine {cosine:.4f} lies between {self.lower_threshold:.4f}, below which {self.frr:g} of genuine pairs "
            f"lie, and {self.threshold:.4f}, which {self.far:g} of impostor pairs reach"
        )

    def _chosen(self, result: PhotoResult) -> list[int]:
        """The places of the faces that the rule picks."""
        width, height = result.size or (0, 0)
        picked = choose_faces([each.face for each in result.faces], (height, width), self.faces)
        return [i for i, each in enumerate(result.faces) if any(each.face is face for face in picked)]

    def _too_poor_for_the_user(self, result: PhotoResult, face: EmbeddedFace) -> list[str]:
        quality = self._quality(face)
        if self.min_quality is None or quality is None or quality >= self.min_quality:
            return []
        # Rounded down, so that a value below the limit never reads as if it reached it.
        told = np.floor(10 * quality) / 10
        return [f"{result.source}: quality at percentile {told:g}, where {self.min_quality:g} is asked for"]

    def _doubts(self, result: PhotoResult, face: EmbeddedFace) -> list[str]:
        doubts = doubts_of(face, result.size, self.info, self._quality(face))
        return [f"{result.source}: {doubt}" for doubt in doubts]

    def _about_choice(self, a: PhotoResult, b: PhotoResult, cosines: NDArray[np.float32], cosine: float) -> list[str]:
        """What hangs on the choice among several faces."""
        if self.faces == "all":
            return []
        notes = [
            f"{result.source}: two faces are nearly as large; --faces all compares each"
            for result in (a, b)
            if self.faces == "largest" and _nearly_as_large(result)
        ]
        best = float(cosines.max())
        if self._decision(best) != self._decision(cosine):
            several = " and ".join(result.source for result in (a, b) if len(result.faces) > 1)
            notes.append(f"{several}: another face gives another answer, by a cosine of {best:.4f}; see --faces all")
        return notes

    def _quality(self, face: EmbeddedFace) -> float | None:
        return None if self.info.quality is None or face.norm is None else self.info.quality.percentile(face.norm)

    def _compared(self, result: PhotoResult, face: EmbeddedFace) -> ComparedFace:
        assert face.norm is not None
        return ComparedFace(
            source=result.source,
            box=_rounded(face.face.box),
            landmarks=[_rounded(point) for point in face.face.landmarks],
            score=face.face.score,
            size=face.face.size,
            sharpness=None if face.looks is None else face.looks.sharpness,
            norm=face.norm,
            quality=self._quality(face),
            covered=list(_covered(face)),
            faces_found=result.found,
        )


def _covered(face: EmbeddedFace) -> tuple[str, ...]:
    return () if face.looks is None else face.looks.covered


def _both_covered(a: PhotoResult, b: PhotoResult, face_a: EmbeddedFace, face_b: EmbeddedFace) -> list[str]:
    """Two strangers behind masks, or sunglasses, look alike."""
    return [
        f"{a.source} and {b.source}: the {part} is covered in both"
        for part in _covered(face_a)
        if part in _covered(face_b)
    ]


def _about_face(result: PhotoResult, face: EmbeddedFace) -> list[str]:
    notes = [f"{result.source}: the {part} is covered" for part in _covered(face)]
    eyes, mouth = face.face.landmarks[:2].mean(axis=0), face.face.landmarks[3:].mean(axis=0)
    right, down = mouth - eyes
    quarters = round(math.degrees(math.atan2(right, down)) / 90) % 4
    return notes + ([f"{result.source}: the face is turned by {90 * min(quarters, 4 - quarters)}°"] if quarters else [])


def _cosines(a: Sequence[EmbeddedFace], b: Sequence[EmbeddedFace]) -> NDArray[np.float32]:
    x, y = (np.array([face.embedding for face in faces], np.float32) for faces in (a, b))
    return np.clip(x @ y.T, -1.0, 1.0)  # (faces of a, faces of b)


def _boxes(result: PhotoResult) -> list[list[float]]:
    return [_rounded(each.face.box) for each in result.faces]


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(x), 1) for x in values]


def _highest(cosines: NDArray[np.float32], rows: list[int], columns: list[int]) -> tuple[int, int]:
    among = cosines[np.ix_(rows, columns)]
    i, j = np.unravel_index(int(among.argmax()), among.shape)
    return rows[i], columns[j]


def _nearly_as_large(result: PhotoResult) -> bool:
    sizes = sorted((each.face.size for each in result.faces), reverse=True)
    return len(sizes) > 1 and sizes[1] >= NEARLY_AS_LARGE * sizes[0]
