"""`Verifier`: weights, detector and device in one object, for two photographs or for many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facever.answer import Answer
from facever.errors import FaceverError, ImageError
from facever.faces.detector_settings import DetectorSettings
from facever.faces.device import Precision, choose_device, computes_in_bf16
from facever.faces.embedder import Embedder
from facever.faces.folders import find_photographs
from facever.faces.images import ImageInput, file_content, load_image
from facever.faces.parallel import left_out, process_files
from facever.faces.pipeline import EmbeddedFace, FaceRule, Job, PhotoResult, Pipeline, Through, check_rule
from facever.faces.sources import Decoded, ImageBytes, Source, read
from facever.question import Question
from facever.weights.metadata import WeightsInfo
from facever.weights.records import WeightsId
from facever.weights.shipped import find_weights, weights_sha256
from facever.weights.thresholds_json import read_thresholds

if TYPE_CHECKING:
    from facever.faces.stored import StoredFaces


class Verifier:
    """Are these two photographs of the same person?

    Create it with `Verifier.load` and keep it: loading takes longer than answering. Two photographs are compared in
    float32, so that an answer near the threshold is the same on every CPU; many are embedded in `precision`, which by
    default is bfloat16 where that is faster.
    """

    def __init__(self, embedder: Embedder, job: Job, weights: WeightsId, info: WeightsInfo) -> None:
        self._embedder, self._job, self.weights, self.info = embedder, job, weights, info

    @classmethod
    def load(
        cls,
        weights: str | Path = "default",
        device: str = "auto",
        *,
        detector: DetectorSettings = DetectorSettings(),
        calibration: str | Path | None = None,
        precision: Precision = "auto",
        strict: bool = False,
    ) -> Verifier:
        """Load weights and detector.

        Parameters
        ----------
        weights : str or Path
            Weights that come with facever, by name ("default", "dlib", ...), or a weights file.
        device : {"auto", "cpu", "cuda", "mps"}
        detector : DetectorSettings
        calibration : str or Path, optional
            A thresholds file that `facever calibrate` wrote for these weights, in place of their own thresholds.
        precision : {"auto", "bf16", "fp32"}
            Inference precision; "auto" is fp32 for two photographs, and the faster one for many.
        strict : bool
            Refuse photographs that are cut off; else what there is of them is read, with a warning.

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
        job = Job(output=path, device=str(chosen), detector=detector, precision=precision, strict=strict)
        return cls(embedder, job, WeightsId(embedder.info.name, weights_sha256(path)), info)

    @property
    def path(self) -> Path:
        """The weights file."""
        assert isinstance(self._job.output, Path)
        return self._job.output

    @property
    def size(self) -> int:
        """d, the number of components of an embedding."""
        return self._embedder.network.embedding_size

    @property
    def precision(self) -> str:
        """In which many photographs are embedded: "bf16" or "fp32"."""
        assert self._pipeline.embedder is not None
        native = self._pipeline.embedder.network.native
        return "bf16" if computes_in_bf16(self._job.precision, choose_device(self._job.device), native) else "fp32"

    def job(
        self,
        rule: FaceRule = "all",
        *,
        center_fallback: bool = False,
        keep_crops: bool = False,
        hashes: bool = False,
    ) -> Job:
        """The job by which many photographs are embedded, for `facever.faces.parallel.process_files`."""
        check_rule(rule)
        return replace(self._job, rule=rule, center_fallback=center_fallback, keep_crops=keep_crops, hashes=hashes)

    def faces(self, source: ImageInput, rule: FaceRule = "all") -> list[EmbeddedFace]:
        """The faces of a photograph with crop, embedding, norm and quality, by descending score; [] where none is.

        Parameters
        ----------
        source : path, binary file or its bytes, Pillow image, or ndarray (RGB uint8 (H, W, 3); see `load_image`)
        rule : {"all", "largest", "center"}

        Raises
        ------
        ImageError
            If the photograph can't be read.
        """
        check_rule(rule)
        found, record = self._result(source, rule).faces, self.info.quality
        if record is None:
            return found
        return [replace(face, quality=record.percentile(face.norm or 0.0)) for face in found]

    def verify(
        self,
        a: ImageInput,
        b: ImageInput,
        faces: FaceRule = "largest",
        threshold: float | None = None,
        far: float | None = None,
        frr: float | None = None,
        prior: float | None = None,
        min_quality: float | None = None,
        two_answers: bool = False,
    ) -> Answer:
        """Compare the faces of two photographs.

        Parameters
        ----------
        a, b : as for `faces`
        faces : {"largest", "center", "all"}
            Which face to take where there are several; with "all" the most similar pair.
        threshold : float in [-1, 1], optional
            In place of the stored ones: from there up the same person, below it different people.
        far : float, optional
            The false accept rate whose stored threshold decides for the same person; by default 0.001, or else the
            rarest stored.
        frr : float, optional
            The false reject rate whose stored threshold decides for different people; 0.02 by default, or the next
            higher one stored. Between the two the answer is undecided.
        prior : float in (0, 1), optional
            Probability of the same person before the photographs are seen; 0.5 by default.
        min_quality : float in [0, 100], optional
            Percentile of quality that both faces must reach for another answer than undecided.
        two_answers : bool
            Decide by the threshold for `far` alone, however poor the photographs.

        Raises
        ------
        ImageError, NoFaceError
            If a photograph can't be read or shows no face.
        WeightsError
            If the weights lack a threshold for `far` or for a given `frr`, a likelihood ratio for a given prior, or a
            useful record of quality for a given `min_quality`.
        SettingError
            For a number out of range.
        """
        question = Question(self.info, self.weights, faces, threshold, far, frr, prior, min_quality, two_answers)
        return question.answer(self._result(a), self._result(b))

    def verify_pairs(
        self,
        pairs: Sequence[tuple[Path, Path]],
        question: Question,
        workers: int | None = None,
        through: Through = lambda results, total: results,
        stored: StoredFaces | None = None,
    ) -> Iterator[Answer | FaceverError]:
        """The answer for each pair, in order, or why there is none; each photograph is embedded once.

        As two photographs are, all are compared in float32, unless another precision was asked for. `question` comes
        from `Question`, `workers` and `through` are as for `embed_folder`; photographs in `stored` are not embedded.
        """
        paths = list(dict.fromkeys(path for pair in pairs for path in pair))
        found = {} if stored is None else stored.of(paths)
        paths = [path for path in paths if path not in found]
        precision: Precision = "fp32" if self._job.precision == "auto" else self._job.precision
        job = replace(self.job(), precision=precision)
        results = through(process_files(paths, job, workers), len(paths))
        found |= zip(paths, results, strict=True)
        for a, b in pairs:
            try:
                yield question.answer(found[a], found[b])
            except FaceverError as error:
                yield error

    def embed_folder(
        self,
        folder: str | Path,
        rule: FaceRule = "all",
        workers: int | None = None,
        through: Through = lambda results, total: results,
        follow_symlinks: bool = False,
    ) -> Iterator[PhotoResult]:
        """The result for each photograph below a folder, streamed in the order of their paths, without crops.

        Folders below it that can't be read, and photographs in formats that can't be decoded here, come first and do
        not go `through`. `follow_symlinks` as for `facever.faces.sources.find_photographs`.

        Raises
        ------
        DataError
            If there is no such folder; at once, before the first result is asked for.
        """
        job = self.job(rule)
        found = find_photographs(folder, follow_symlinks)
        return chain(left_out(found), through(process_files(found.paths, job, workers), len(found.paths)))

    @cached_property
    def _pipeline(self) -> Pipeline:
        """For photographs one by one; who embeds a folder in several processes has no use for it."""
        return Pipeline(replace(self._job, keep_crops=True), self._embedder)

    def _result(self, source: ImageInput, rule: FaceRule = "all") -> PhotoResult:
        if (file := _file_of(source)) is None:
            photograph = Decoded("the photograph", load_image(source))
        else:
            photograph = read(file, self._job.detector.needed, strict=self._job.strict)
            if isinstance(photograph.image, ImageError):
                raise photograph.image
        return self._pipeline([photograph], rule)[0]


def _file_of(source: ImageInput) -> Source | None:
    """The file, or the content of one, that a photograph is; None for pixels."""
    if isinstance(source, np.ndarray | Image.Image):
        return None
    if isinstance(source, bytes):
        return ImageBytes("the photograph", source)
    if isinstance(source, str | Path):
        return Path(source)
    content, name = file_content(source, None)
    return ImageBytes(name, content)
