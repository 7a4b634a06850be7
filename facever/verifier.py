"""`Verifier`: weights, detector and device in one object that answers for two photographs or for many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import NoFaceError, PoorPhotographError, WeightsError
from facever.faces import sources as photographs
from facever.faces.detection import MIN_FACE, THRESHOLDS
from facever.faces.device import choose_device
from facever.faces.embedder import Embedder
from facever.faces.images import load_image
from facever.faces.parallel import process_files
from facever.faces.pipeline import EmbeddedFace, FaceRule, Job, Photograph, Stages, Through
from facever.weights.file import read_info
from facever.weights.metadata import WeightsInfo
from facever.weights.shipped import find_weights
from facever.weights.thresholds_json import read_thresholds

Source = str | Path | bytes | NDArray[Any]

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
        Lengths of the features before normalisation.
    quality : two floats or Nones
        Where these norms lie among those of the people in the weights' record of quality, as percentiles in [0, 100];
        None where the weights hold no such record.
    boxes : two lists of four floats
        x0, y0, x1, y1 of the compared faces, in pixels of the upright photographs.
    faces_found : two ints
        How many faces each photograph shows.
    weights : str
        Name of the weights.
    prior : float
        The probability of the same person before the photographs were seen.
    log_likelihood_ratio : float or None
        Natural logarithm of how much likelier the cosine is for the same person than for two; None where the weights
        hold no fit of it.
    probability : float or None
        Of the same person, by the prior and that ratio.
    """

    cosine: float
    same: bool
    threshold: float
    far: float | None
    norms: tuple[float, float]
    boxes: tuple[list[float], list[float]]
    faces_found: tuple[int, int]
    weights: str
    prior: float = PRIOR
    log_likelihood_ratio: float | None = None
    probability: float | None = None
    quality: tuple[float | None, float | None] = (None, None)


class Verifier:
    """Are these two photographs of the same person?

    Make one with `Verifier.load`, and keep it: loading takes longer than answering.
    """

    def __init__(self, embedder: Embedder, path: Path, stages: Stages, info: WeightsInfo | None = None) -> None:
        self.embedder = embedder
        self.path = path
        self._stages = stages
        self._info = info or embedder.info

    @classmethod
    def load(
        cls,
        weights: str | Path = "default",
        device: str = "auto",
        min_face: int = MIN_FACE,
        thresholds: tuple[float, float, float] = THRESHOLDS,
        calibration: str | Path | None = None,
        precision: str = "auto",
    ) -> Verifier:
        """A verifier with these weights.

        Parameters
        ----------
        weights : str or Path
            A name that comes with facever ("default", "scratch", ...) or a weights file.
        device : {"auto", "cpu", "cuda"}
        min_face, thresholds
            Of the detector, see `facever.faces.detection.Detector`.
        calibration : str or Path, optional
            A file of thresholds that `facever calibrate` wrote for these weights, in place of their own.
        precision : {"auto", "bf16", "fp32"}
            What the network computes in, see `facever.faces.embedder.Embedder`.

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
        info = read_thresholds(Path(calibration), path, read_info(path)) if calibration is not None else None
        chosen = choose_device(device)
        embedder = Embedder.load(path, chosen, precision)
        job = Job(embedder.info.alignment, path, str(chosen), "all", False, min_face, thresholds, precision)
        return cls(embedder, path, Stages(job, embedder), info)

    @property
    def info(self) -> WeightsInfo:
        """The metadata of the weights: network, alignment, thresholds, terms."""
        return self._info

    @property
    def size(self) -> int:
        """d, the number of components of an embedding."""
        return self.embedder.network.embedding_size

    def faces(self, source: Source, rule: FaceRule = "all") -> list[EmbeddedFace]:
        """The faces of a photograph with crop, embedding and norm, the surest first; [] where there is none.

        Parameters
        ----------
        source : path, bytes of an image file, or ndarray (RGB uint8 (H, W, 3) and what `load_image` takes)
        rule : {"all", "largest", "center"}

        Raises
        ------
        ImageError
            If the photograph can't be read.
        """
        return self._photograph(source, rule)[1].faces

    def verify(
        self,
        a: Source,
        b: Source,
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
            Which face counts where there are several; with "all" the two that are most alike.
        threshold : float, optional
            In place of the one stored for `far`.
        far : float
            The false accept rate whose stored threshold decides.
        prior : float, optional
            The probability of the same person before the photographs are seen, in (0, 1), for the probability after;
            one half by default.
        min_quality : float, optional
            The least percentile of quality, in [0, 100], that both compared faces must reach.

        Raises
        ------
        ImageError, NoFaceError
            If a photograph can't be read or shows no face.
        PoorPhotographError
            If the quality of one is below `min_quality`.
        WeightsError
            If the weights hold no threshold for `far`, no likelihood ratio for a given prior, or no record of quality
            that is of use for a given `min_quality`.
        ValueError
            If the prior is not between 0 and 1, or `min_quality` not in [0, 100].
        """
        if min_quality is not None:
            if not 0 <= min_quality <= 100:
                raise ValueError(f"a quality is a percentile in [0, 100], not {min_quality}")
            self.info.quality_to_decline_by()
        line = self.info.likelihood
        if prior is not None and line is None:
            raise WeightsError(
                f"the weights {self.info.name!r} hold no likelihood ratio, so a prior leads to no probability; "
                "find one by facever calibrate"
            )
        before = PRIOR if prior is None else prior
        if not 0 < before < 1:
            raise ValueError(f"a prior is a probability between 0 and 1, not {before}")
        decided = self.info.threshold(far).cosine if threshold is None else float(threshold)
        name_a, photograph_a = self._photograph(a, faces)
        name_b, photograph_b = self._photograph(b, faces)
        for name, photograph in ((name_a, photograph_a), (name_b, photograph_b)):
            if not photograph.faces:
                raise NoFaceError(
                    f"{name}: no face found; use a photograph of a face that is larger, sharper or nearer to frontal"
                )
        face_a, face_b, cosine = _most_alike(photograph_a.faces, photograph_b.faces)
        assert face_a.norm is not None and face_b.norm is not None
        quality = (self._quality(face_a.norm), self._quality(face_b.norm))
        _check_quality((name_a, name_b), quality, min_quality)
        return Answer(
            cosine=cosine,
            same=cosine >= decided,
            threshold=decided,
            far=far if threshold is None else None,
            norms=(face_a.norm, face_b.norm),
            boxes=(_rounded(face_a.face.box), _rounded(face_b.face.box)),
            faces_found=(photograph_a.found, photograph_b.found),
            weights=self.info.name,
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
        through: Through = lambda photographs, total: photographs,
    ) -> Iterator[Photograph]:
        """What became of each photograph below a folder, streamed in order of their paths; errors are in `problems`.

        Folders below it that can't be read come first, and are not counted among what goes `through`.

        Raises
        ------
        DataError
            If there is no such folder; at once, before the first photograph is asked for.
        """
        paths, unreadable = photographs.find_photographs(Path(folder))
        broken = [Photograph(error.source, problems=[str(error)], readable=False) for error in unreadable]
        return chain(broken, through(self.embed_files(list(paths), rule, workers), len(paths)))

    def embed_files(
        self,
        paths: list[photographs.Source],
        rule: FaceRule = "all",
        workers: int | None = None,
        centre_fallback: bool = False,
    ) -> Iterator[Photograph]:
        """The same for given files; with `centre_fallback` a photograph without a face gives its centre crop."""
        yield from process_files(paths, self.job(rule, centre_fallback), workers)

    def job(self, rule: FaceRule = "all", centre_fallback: bool = False) -> Job:
        """What the pipeline is told to do for this verifier."""
        return replace(self._stages.job, rule=rule, centre_fallback=centre_fallback)

    def _quality(self, norm: float) -> float | None:
        return None if self.info.quality is None else self.info.quality.percentile(norm)

    def _photograph(self, source: Source, rule: FaceRule) -> tuple[str, Photograph]:
        image = load_image(source)
        name = str(source) if isinstance(source, str | Path) else "the photograph"
        return name, self._stages([(name, image)], rule)[0]


def _check_quality(names: tuple[str, str], quality: tuple[float | None, float | None], least: float | None) -> None:
    if least is None:
        return
    poor = {name: found for name, found in zip(names, quality, strict=True) if found is not None and found < least}
    if poor:
        # Rounded down, so that what is below the least never reads as if it reached it.
        told = [
            f"{name}: photograph too poor to decide, at percentile {math.floor(10 * found) / 10:g} of quality"
            for name, found in poor.items()
        ]
        raise PoorPhotographError(
            f"{'; '.join(told)}, where {least:g} is asked for; use one that is sharper, larger or nearer to frontal"
        )


def _most_alike(a: list[EmbeddedFace], b: list[EmbeddedFace]) -> tuple[EmbeddedFace, EmbeddedFace, float]:
    cosines = _stacked(a) @ _stacked(b).T  # (faces of a, faces of b)
    i, j = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return a[i], b[j], float(np.clip(cosines[i, j], -1.0, 1.0))


def _stacked(faces: list[EmbeddedFace]) -> NDArray[np.float32]:
    return np.array([face.embedding for face in faces], np.float32)


def _rounded(box: NDArray[np.float32]) -> list[float]:
    return [round(float(x), 1) for x in box]
