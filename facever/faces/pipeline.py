"""Photographs -> faces -> crops -> embeddings: the one path that training, verification and evaluation share.

A broken photograph becomes a result with a problem, never an exception, so that a folder goes on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facever.errors import AlignmentError, ImageError, SettingError
from facever.faces.alignment import align, center_crop, enlargement
from facever.faces.detection import CERTAIN, Detector
from facever.faces.detector_settings import DetectorSettings
from facever.faces.device import Precision
from facever.faces.embedder import Embedder
from facever.faces.face import Face
from facever.faces.images import ImageArray
from facever.faces.looks import Looks
from facever.faces.pixels import share_missing
from facever.faces.sources import Decoded, read
from facever.weights.alignment import Alignment

FaceRule = Literal["largest", "center", "all"]
FACE_RULES: tuple[str, ...] = get_args(FaceRule)
# A crop is taken from a reduced photograph if that has so many pixels, in each direction, for one of the crop.
PIXELS_FOR_ONE = 1.5
MOST_OF_A_FACE = 0.02  # that may be missing
STAGES = ("decode", "detect", "align", "embed")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFace:
    """A face; its crop (uint8, RGB), if the job keeps crops.

    If the job embeds: unit embedding (d,), norm, and what can be seen of the face.
    `quality`: percentile of the norm, as in `facever.answer.ComparedFace`; from `Verifier.faces` only.
    """

    face: Face
    crop: ImageArray | None = None
    embedding: NDArray[np.float32] | None = None
    norm: float | None = None
    looks: Looks | None = None
    quality: float | None = None


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """Result for one photograph.

    Attributes
    ----------
    source : str
        Its path or name.
    faces : list of EmbeddedFace
        The faces that the rule chose, by descending score.
    found : int
        Number of faces detected, before the rule.
    problems : list of str
        Errors: it can't be read, a face can't be aligned, no face was found.
    warnings : list of str
        What is missing of a photograph that was read all the same.
    center : EmbeddedFace or None
        The center crop, where no face was found and the job falls back to it.
    readable : bool
        Whether it could be decoded.
    size : (int, int) or None
        Width and height of the upright photograph.
    sha256 : str or None
        Of its file, if the job asks for it.
    taken : datetime or None
        By the camera's clock, where EXIF tells it.
    seconds : dict from a name of `STAGES` to float
        Time each stage took. A stage that takes several photographs at once gives each an equal share.
    """

    source: str
    faces: list[EmbeddedFace] = field(default_factory=list)
    found: int = 0
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    center: EmbeddedFace | None = None
    readable: bool = True
    size: tuple[int, int] | None = None
    sha256: str | None = None
    taken: datetime | None = None
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


# Wraps a stream of results, given their number: the place for a progress bar.
Through = Callable[[Iterable[PhotoResult], int], Iterable[PhotoResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do with photographs. Small and picklable: each worker makes its own detector and network from it.

    Attributes
    ----------
    output : Alignment or Path
        Where the pipeline ends: at crops by an alignment, or at embeddings by a weights file, which has its own.
    device : str
        A device as torch names it.
    rule : {"all", "largest", "center"}
        Which faces of a photograph to take.
    center_fallback : bool
        Take the center crop of a photograph without a face.
    keep_crops : bool
        Return crops besides embeddings.
    mirrored : bool
        Average each face with its mirror image, where the weights say so.
    hashes : bool
        Return the SHA-256 of each photograph's file.
    strict : bool
        Refuse photographs that are cut off instead of reading what is there.
    detector : DetectorSettings
    precision : {"auto", "bf16", "fp32"}
    """

    output: Alignment | Path
    device: str = "cpu"
    rule: FaceRule = "all"
    center_fallback: bool = False
    keep_crops: bool = False
    mirrored: bool = True
    hashes: bool = False
    strict: bool = False
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    precision: Precision = "auto"


def check_rule(rule: str, allowed: Sequence[str] = FACE_RULES) -> None:
    """Raise SettingError unless the rule is one of those allowed."""
    if rule not in allowed:
        raise SettingError(f"is one of {', '.join(allowed)}, not {rule!r}", "faces")


def choose_faces(faces: Sequence[Face], shape: tuple[int, ...], rule: FaceRule) -> list[Face]:
    """The faces that the rule picks: all, the largest box, or the box whose center is nearest to the photograph's."""
    check_rule(rule)
    if rule == "all" or len(faces) < 2:
        return list(faces)
    if rule == "largest":
        return [max(faces, key=lambda face: face.area)]
    center = np.array([shape[1] / 2, shape[0] / 2])
    return [min(faces, key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - center)))]


class Pipeline:
    """Detector, alignment and embedder of one job, in one process."""

    def __init__(self, job: Job, embedder: Embedder | None = None) -> None:
        self.job = job
        self.detector = Detector(job.device, job.detector)
        self.embedder = embedder
        if isinstance(job.output, Alignment):
            self.alignment = job.output
        else:
            self.embedder = embedder or Embedder.load(job.output, job.device, job.precision, job.mirrored)
            self.alignment = self.embedder.info.alignment

    def __call__(self, images: Sequence[Decoded], rule: FaceRule | None = None) -> list[PhotoResult]:
        """The result for each photograph, in order. `rule` overrides the job's."""
        pixels = [each.image for each in images if not isinstance(each.image, ImageError)]
        start = time.perf_counter()
        detected = iter(self.detector.detect_batch(pixels))
        share = (time.perf_counter() - start) / max(len(pixels), 1)
        results = []
        for each in images:
            if isinstance(each.image, ImageError):
                result = PhotoResult(each.name, problems=[str(each.image)], readable=False)
                results.append(replace(result, seconds={"decode": each.seconds}))
                continue
            start = time.perf_counter()
            result = self._crop(each, each.image, next(detected), rule or self.job.rule)
            times = {"decode": each.seconds, "detect": share, "align": time.perf_counter() - start}
            size = each.size or (each.image.shape[1], each.image.shape[0])
            results.append(replace(result, seconds=times, size=size, sha256=each.sha256, taken=each.taken))
        return results if self.embedder is None else self._embed(results, self.embedder)

    def _crop(self, photograph: Decoded, image: ImageArray, found: list[Face], rule: FaceRule) -> PhotoResult:
        """The faces that the rule picks, in pixels of the whole photograph, and their crops."""
        faces, problems = [], []
        chosen = choose_faces(found, image.shape, rule)
        image, here = self._sharp_enough(photograph, image, chosen)
        for face, at in zip(chosen, here, strict=True):
            if photograph.warning and share_missing(image, at.box) > MOST_OF_A_FACE:
                problems.append(f"{photograph.name}: {photograph.warning}, and a part of the face with it")
                continue
            try:
                crop = align(image, at.landmarks, self.alignment)
                faces.append(EmbeddedFace(face.enlarged(photograph.reduction), crop))
            except AlignmentError as error:
                problems.append(f"{photograph.name}: a face can't be aligned: {error}")
        if photograph.warning and not faces:
            problems = problems or [f"{photograph.name}: {photograph.warning}, and there is no face in the rest"]
            problems = [f"{problem}; copy or export it again" for problem in problems]
            return PhotoResult(photograph.name, [], len(found), problems, readable=False)
        if not found:
            problems.append(f"{photograph.name}: no face found")
        center = None
        if not faces and self.job.center_fallback:
            width, height = photograph.size or (image.shape[1], image.shape[0])
            whole = Face(np.array([0, 0, width, height], np.float32), np.full((5, 2), np.nan), 0.0)
            center = EmbeddedFace(whole, center_crop(image, self.alignment))
        warnings = [f"{photograph.name}: {photograph.warning}"] if photograph.warning else []
        return PhotoResult(photograph.name, faces, len(found), problems, warnings, center)

    def _sharp_enough(
        self, photograph: Decoded, image: ImageArray, faces: list[Face]
    ) -> tuple[ImageArray, Sequence[Face]]:
        """The picture to cut these faces from, and the faces in its pixels: the whole one if a crop lacks pixels."""
        if photograph.reduction > 1 and photograph.source is not None and any(map(self._lacks_pixels, faces)):
            whole = read(photograph.source)
            if not isinstance(whole.image, ImageError):  # gone meanwhile
                return whole.image, [face.enlarged(photograph.reduction // whole.reduction) for face in faces]
        return image, faces

    def _lacks_pixels(self, face: Face) -> bool:
        try:
            return enlargement(face.landmarks, self.alignment) * PIXELS_FOR_ONE > 1
        except AlignmentError:
            return False

    def looks(self, crop: ImageArray) -> Looks:
        """What can be seen of a face in its crop; upside down only if the detector is sure of the turned crop, too."""
        seen = Looks.of(crop, self.alignment)
        if seen.upside_down:
            (faces,) = self.detector.detect_as_they_are([np.ascontiguousarray(crop[::-1, ::-1])])
            seen = replace(seen, upside_down=any(face.score >= CERTAIN for face in faces))
        return seen

    def _embed(self, results: list[PhotoResult], embedder: Embedder) -> list[PhotoResult]:
        crops = [face.crop for result in results for face in _faces(result) if face.crop is not None]
        if not crops:
            return results
        start = time.perf_counter()
        embeddings, norms = embedder(np.stack(crops))
        share = (time.perf_counter() - start) / len(crops)
        values = iter(zip(embeddings, norms, strict=True))

        def embedded(face: EmbeddedFace) -> EmbeddedFace:
            embedding, norm = next(values)
            return EmbeddedFace(
                face.face,
                face.crop if self.job.keep_crops else None,
                embedding,
                float(norm),
                None if face.crop is None else self.looks(face.crop),
            )

        done = []
        for result in results:
            seconds = {**result.seconds, "embed": share * len(_faces(result))}
            faces, center = [embedded(face) for face in result.faces], result.center and embedded(result.center)
            done.append(replace(result, faces=faces, center=center, seconds=seconds))
        return done


def _faces(result: PhotoResult) -> list[EmbeddedFace]:
    return [*result.faces, *([result.center] if result.center else [])]
