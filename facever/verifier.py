"""`Verifier`: weights, detector and device in one object, for two photographs or for many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.errors import NoFaceError, PoorPhotographError, SettingError
from facever.faces.detection import DetectorSettings
from facever.faces.device import Precision, choose_device, computes_in_bf16
from facever.faces.embedder import Embedder
from facever.faces.images import ImageInput, load_image
from facever.faces.parallel import left_out, process_files
from facever.faces.pipeline import EmbeddedFace, FaceRule, Job, PhotoResult, Pipeline, Through, check_rule
from facever.faces.sources import Decoded, find_photographs
from facever.scoring import decide
from facever.weights.metadata import WeightsInfo
from facever.weights.records import WeightsId
from facever.weights.shipped import find_weights, weights_sha256
from facever.weights.thresholds_json import read_thresholds

DEFAULT_FAR = 1e-3
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


class Verifier:
    """Are these two photographs of the same person?

    Create it with `Verifier.load` and keep it: loading takes longer than answering. Two photographs are compared in
    float32, so that an answer near the threshold is the same on every CPU; many are embedded in `precision`, which by
    default is bfloat16 where that is faster.
    """

    def __init__(self, pipeline: Pipeline, job: Job, weights: WeightsId, info: WeightsInfo) -> None:
        self._pipeline, self._job, self.weights, self.info = pipeline, job, weights, info

    @classmethod
    def load(
        cls,
        weights: str | Path = "default",
        device: str = "auto",
        *,
        detector: DetectorSettings = DetectorSettings(),
        calibration: str | Path | None = None,
        precision: Precision = "auto",
    ) -> Verifier:
        """Load weights and detector.

        Parameters
        ----------
        weights : str or Path
            Weights that come with facever, by name ("default", "dlib", ...), or a weights file.
        device : {"auto", "cpu", "cuda"}
        detector : DetectorSettings
        calibration : str or Path, optional
            A thresholds file that `facever calibrate` wrote for these weights, in place of their own thresholds.
        precision : {"auto", "bf16", "fp32"}
            Inference precision; "auto" is fp32 for two photographs, and the faster one for many.

        Raises
        ------
        WeightsError
            If the weights can't be found, read or used.
        DataError
            If the calibration can't be read or belongs to other weights.
        FaceverError
            If the device can't be used here, or there is no such precision.
        """
        path = find_weights(weights)
        chosen = choose_device(device)
        computes_in_bf16(precision, chosen)  # refuses an unknown one
        embedder = Embedder.load(path, chosen, "fp32" if precision == "auto" else precision)
        info = embedder.info if calibration is None else read_thresholds(Path(calibration), path, embedder.info)
        job = Job(output=path, device=str(chosen), detector=detector, precision=precision)
        pipeline = Pipeline(replace(job, keep_crops=True), embedder)
        return cls(pipeline, job, WeightsId(embedder.info.name, weights_sha256(path)), info)

    @property
    def path(self) -> Path:
        """The weights file."""
        assert isinstance(self._job.output, Path)
        return self._job.output

    @property
    def size(self) -> int:
        """d, the number of components of an embedding."""
        assert self._pipeline.embedder is not None
        return self._pipeline.embedder.network.embedding_size

    @property
    def precision(self) -> str:
        """In which many photographs are embedded: "bf16" or "fp32"."""
        return "bf16" if computes_in_bf16(self._job.precision, choose_device(self._job.device)) else "fp32"

    def job(self, rule: FaceRule = "all", *, center_fallback: bool = False, keep_crops: bool = False) -> Job:
        """The job by which many photographs are embedded, for `facever.faces.parallel.process_files`."""
        check_rule(rule)
        return replace(self._job, rule=rule, center_fallback=center_fallback, keep_crops=keep_crops)

    def faces(self, source: ImageInput, rule: FaceRule = "all") -> list[EmbeddedFace]:
        """The faces of a photograph with crop, embedding and norm, by descending score; [] where there is none.

        Parameters
        ----------
        source : path, bytes of an image file, or ndarray (RGB uint8 (H, W, 3) and what `load_image` takes)
        rule : {"all", "largest", "center"}

        Raises
        ------
        ImageError
            If the photograph can't be read.
        """
        return self._result(source, rule)[1].faces

    def verify(
        self,
        a: ImageInput,
        b: ImageInput,
        faces: FaceRule = "largest",
        threshold: float | None = None,
        far: float = DEFAULT_FAR,
        prior: float | None = None,
        min_quality: float | None = None,
    ) -> Answer:
        """Compare the faces of two photographs.

        Parameters
        ----------
        a, b : as for `faces`
        faces : {"largest", "center", "all"}
            Which face to take where there are several; with "all" the most similar pair.
        threshold : float in [-1, 1], optional
            In place of the stored one for `far`.
        far : float
            The false accept rate whose stored threshold decides.
        prior : float in (0, 1), optional
            Probability of the same person before the photographs are seen; 0.5 by default.
        min_quality : float in [0, 100], optional
            Percentile of quality that both faces must reach.

        Raises
        ------
        ImageError, NoFaceError
            If a photograph can't be read or shows no face.
        PoorPhotographError
            If the quality of one is below `min_quality`.
        WeightsError
            If the weights lack a threshold for `far`, a likelihood ratio for a given prior, or a useful record of
            quality for a given `min_quality`.
        SettingError
            For a number out of range.
        """
        self._check(faces, threshold, prior, min_quality)
        line, before = self.info.likelihood, PRIOR if prior is None else prior
        decisive = self.info.threshold(far).cosine if threshold is None else float(threshold)
        (name_a, result_a), (name_b, result_b) = self._result(a, faces), self._result(b, faces)
        for name, result in ((name_a, result_a), (name_b, result_b)):
            if not result.faces:
                raise NoFaceError(
                    f"{name}: no face found; use a photograph of a face that is larger, sharper or nearer to frontal"
                )
        face_a, face_b, cosine = _most_similar(result_a.faces, result_b.faces)
        assert face_a.norm is not None and face_b.norm is not None
        quality = (self._quality(face_a.norm), self._quality(face_b.norm))
        _check_quality((name_a, name_b), quality, min_quality)
        return Answer(
            cosine=cosine,
            same=bool(decide(np.array([cosine]), decisive)[0]),
            threshold=decisive,
            far=far if threshold is None else None,
            norms=(face_a.norm, face_b.norm),
            boxes=(_rounded(face_a.face.box), _rounded(face_b.face.box)),
            faces_found=(result_a.found, result_b.found),
            weights=self.weights,
            prior=before,
            log_likelihood_ratio=None if line is None else line.log_ratio(cosine),
            probability=None if line is None else line.probability(cosine, before),
            quality=quality,
        )

    def embed_folder(
        self,
        folder: str | Path,
        rule: FaceRule = "all",
        workers: int | None = None,
        through: Through = lambda results, total: results,
    ) -> Iterator[PhotoResult]:
        """The result for each photograph below a folder, streamed in the order of their paths, without crops.

        Folders below it that can't be read, and photographs in formats that can't be decoded here, come first and do
        not go `through`.

        Raises
        ------
        DataError
            If there is no such folder; at once, before the first result is asked for.
        """
        job = self.job(rule)
        found = find_photographs(folder)
        return chain(left_out(found), through(process_files(found.paths, job, workers), len(found.paths)))

    def _check(self, faces: str, threshold: float | None, prior: float | None, min_quality: float | None) -> None:
        check_rule(faces)
        if threshold is not None and not -1 <= threshold <= 1:
            raise SettingError(f"is a cosine in [-1, 1], not {threshold}", "threshold")
        if prior is not None:
            if not 0 < prior < 1:
                raise SettingError(f"is a probability between 0 and 1, not {prior}", "prior")
            self.info.likelihood_for_prior()
        if min_quality is not None:
            if not 0 <= min_quality <= 100:
                raise SettingError(f"is a percentile in [0, 100], not {min_quality}", "min_quality")
            self.info.quality_to_decline_by()

    def _quality(self, norm: float) -> float | None:
        return None if self.info.quality is None else self.info.quality.percentile(norm)

    def _result(self, source: ImageInput, rule: FaceRule) -> tuple[str, PhotoResult]:
        name = str(source) if isinstance(source, str | Path) else "the photograph"
        return name, self._pipeline([Decoded(name, load_image(source))], rule)[0]


def _check_quality(names: tuple[str, str], quality: tuple[float | None, float | None], least: float | None) -> None:
    if least is None:
        return
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
