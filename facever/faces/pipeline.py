"""Photographs -> faces -> crops -> embeddings: the one path that training, verification and evaluation share.

A broken photograph becomes a result with a problem, never an exception, so that a folder goes on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from facever.errors import AlignmentError, ImageError
from facever.faces.alignment import align, centre_crop
from facever.faces.detection import MIN_FACE, THRESHOLDS, Detector, Face
from facever.faces.embedder import Embedder
from facever.weights.alignment import Alignment

ImageArray = NDArray[np.uint8]
FaceRule = Literal["largest", "center", "all"]
FACE_RULES: tuple[str, ...] = get_args(FaceRule)
STAGES = ("decode", "detect", "align", "embed")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFace:
    """A face, its crop (uint8, RGB), and unless only crops were asked for its unit embedding (d,) and feature norm."""

    face: Face
    crop: ImageArray
    embedding: NDArray[np.float32] | None = None
    norm: float | None = None


@dataclass(frozen=True, slots=True)
class Photograph:
    """What became of one photograph.

    Attributes
    ----------
    source : str
        Its path or name.
    faces : list of EmbeddedFace
        Those that the rule chose; the surest first.
    found : int
        How many faces the detector found, before the rule.
    problems : list of str
        Why it could not be read, why a face could not be cropped, or that none was found.
    centre : EmbeddedFace or None
        The centre crop, where no face was found and one was asked for.
    readable : bool
        Whether it could be read at all.
    seconds : dict from a name of `STAGES` to float
        How long each stage took for it. Where a stage takes several photographs at once, each has an equal share.
    """

    source: str
    faces: list[EmbeddedFace] = field(default_factory=list)
    found: int = 0
    problems: list[str] = field(default_factory=list)
    centre: EmbeddedFace | None = None
    readable: bool = True
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


# Wraps a stream of photographs, of which it is told the number: the place for a progress bar.
Through = Callable[[Iterable[Photograph], int], Iterable[Photograph]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with photographs; small and picklable, since workers make their own detector and network from it.

    Without `weights` the pipeline ends at the crops.
    """

    alignment: Alignment
    weights: Path | None = None
    device: str = "cpu"
    rule: FaceRule = "all"
    centre_fallback: bool = False
    min_face: int = MIN_FACE
    thresholds: tuple[float, float, float] = THRESHOLDS
    precision: str = "auto"


def choose_faces(faces: Sequence[Face], shape: tuple[int, ...], rule: FaceRule) -> list[Face]:
    """The faces that the rule picks: all, the largest box, or the box whose centre is nearest to the photograph's."""
    if rule == "all" or len(faces) < 2:
        return list(faces)
    if rule == "largest":
        return [max(faces, key=lambda face: face.area)]
    if rule == "center":
        centre = np.array([shape[1] / 2, shape[0] / 2])
        return [min(faces, key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre)))]
    raise ValueError(f"the rule for faces is one of {', '.join(FACE_RULES)}, not {rule!r}")


class Stages:
    """Detector, alignment and embedder of one job, joined in one process."""

    def __init__(self, job: Job, embedder: Embedder | None = None) -> None:
        self.job = job
        self.detector = Detector(job.device, job.min_face, job.thresholds)
        self.embedder = embedder
        if embedder is None and job.weights is not None:
            self.embedder = Embedder.load(job.weights, torch.device(job.device), job.precision)

    def __call__(
        self, images: Sequence[tuple[str, ImageArray | ImageError]], rule: FaceRule | None = None
    ) -> list[Photograph]:
        """(name, RGB uint8 image or why there is none) of each photograph -> what became of it, in order.

        `rule` stands in for the job's.
        """
        readable = [image for _, image in images if not isinstance(image, ImageError)]
        start = time.perf_counter()
        detected = iter(self.detector.detect_batch(readable))
        share = (time.perf_counter() - start) / max(len(readable), 1)
        done = []
        for name, image in images:
            if isinstance(image, ImageError):
                done.append(Photograph(name, problems=[str(image)], readable=False))
            else:
                start = time.perf_counter()
                cropped = self._crop(name, image, next(detected), rule or self.job.rule)
                cropped.seconds.update(detect=share, align=time.perf_counter() - start)
                done.append(cropped)
        return self._embed(done) if self.embedder is not None else done

    def _crop(self, name: str, image: ImageArray, faces: list[Face], rule: FaceRule) -> Photograph:
        photograph = Photograph(name, found=len(faces))
        for face in choose_faces(faces, image.shape, rule):
            try:
                crop = align(image, face.landmarks, self.job.alignment)
            except AlignmentError as error:
                photograph.problems.append(f"{name}: a face could not be aligned: {error}")
            else:
                photograph.faces.append(EmbeddedFace(face, crop))
        if photograph.faces:
            return photograph
        if not faces:
            photograph.problems.append(f"{name}: no face found")
        if not self.job.centre_fallback:
            return photograph
        whole = Face(np.array([0, 0, image.shape[1], image.shape[0]], np.float32), np.full((5, 2), np.nan), 0.0)
        centre = EmbeddedFace(whole, centre_crop(image, self.job.alignment))
        return replace(photograph, centre=centre)

    def _embed(self, photographs: list[Photograph]) -> list[Photograph]:
        assert self.embedder is not None
        crops = [f.crop for p in photographs for f in [*p.faces, *([p.centre] if p.centre else [])]]
        if not crops:
            return photographs
        start = time.perf_counter()
        embeddings, norms = self.embedder(np.stack(crops))
        share = (time.perf_counter() - start) / len(crops)
        values = iter(zip(embeddings, norms, strict=True))

        def embedded(face: EmbeddedFace) -> EmbeddedFace:
            embedding, norm = next(values)
            return EmbeddedFace(face.face, face.crop, embedding, float(norm))

        done = []
        for p in photographs:
            seconds = {**p.seconds, "embed": share * (len(p.faces) + bool(p.centre))}
            faces, centre = [embedded(f) for f in p.faces], p.centre and embedded(p.centre)
            done.append(replace(p, faces=faces, centre=centre, seconds=seconds))
        return done
