"""Photographs -> faces -> crops -> embeddings, streamed: the one path that training, embedding, verification and
evaluation share.

A broken photograph becomes a result with a problem, never an exception, so that a folder goes on without it.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from facever.alignment import Alignment, align, centre_crop
from facever.detection import MIN_FACE, THRESHOLDS, Detector, Face
from facever.embedder import Embedder
from facever.errors import AlignmentError, FaceverError, ImageError
from facever.photographs import Source, read

ImageArray = NDArray[np.uint8]
FaceRule = Literal["largest", "center", "all"]
FACE_RULES: tuple[str, ...] = get_args(FaceRule)
STAGES = ("decode", "detect", "align", "embed")

BATCH = 16
# A batch also ends after so many pixels, so that memory is bounded for large photographs too.
BATCH_PIXELS = 24_000_000
READ_AHEAD = 4
# Starting worker processes takes seconds; below so many photographs one process is done sooner.
FEW = 200


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
            self.embedder = Embedder.load(job.weights, torch.device(job.device))

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


def process_files(paths: Iterable[Source], job: Job, workers: int | None = None) -> Iterator[Photograph]:
    """Run the job over photographs; results come in the order of the paths, as soon as they are there.

    Parameters
    ----------
    workers : int, optional
        Processes; by default all cores that this process may use, or none of its own for few photographs. On CUDA one
        process feeds the device.

    Raises
    ------
    FaceverError
        If a worker was killed, most likely for want of memory.
    """
    paths = list(paths)
    if workers is None:
        from joblib import cpu_count

        # Processes of one thread each beat threads: most of a cascade is too small to share out.
        workers = cpu_count() if len(paths) >= FEW else 1
    if job.device != "cpu" or workers <= 1:
        yield from _in_this_process(paths, job)
    else:
        yield from _in_workers(paths, job, workers)


def _in_this_process(paths: list[Source], job: Job) -> Iterator[Photograph]:
    stages = Stages(job)
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for batch in _batches(paths, BATCH if job.device == "cpu" else 4 * BATCH):
            yield from _by_pixels(_read_ahead(batch, pool), stages)


Decoded = tuple[str, ImageArray | ImageError, float]


def _decode(source: Source) -> Decoded:
    """The photograph's name, its pixels or why there are none, and the seconds that took."""
    start = time.perf_counter()
    name, image = read(source)
    return name, image, time.perf_counter() - start


def _read_ahead(batch: list[Source], pool: ThreadPoolExecutor) -> Iterator[Decoded]:
    """Decode a few photographs ahead of their use; not the whole batch, which may be large photographs."""
    waiting: deque[Future[Decoded]] = deque()
    for source in batch:
        waiting.append(pool.submit(_decode, source))
        if len(waiting) > READ_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _in_workers(paths: list[Source], job: Job, workers: int) -> Iterator[Photograph]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="3*n_jobs", batch_size=1)
    tasks = (delayed(_process_batch)(batch, job) for batch in _batches(paths, BATCH))
    _quiet_pool()
    try:
        for photographs in parallel(tasks):
            yield from photographs
    except TerminatedWorkerError as error:
        raise FaceverError("a worker process was killed, perhaps for want of memory; use fewer --workers") from error


@functools.cache
def _quiet_pool() -> None:
    """Leave out the traceback of loky's own thread, whose books lose an entry when an interrupt ends its pool."""
    others = threading.excepthook

    def hook(told: threading.ExceptHookArgs) -> None:
        if not (told.exc_type is KeyError and told.thread and told.thread.name == "ExecutorManagerThread"):
            others(told)

    threading.excepthook = hook


def _process_batch(paths: list[Source], job: Job) -> list[Photograph]:
    return list(_by_pixels(map(_decode, paths), _stages_of_worker(job)))


@functools.lru_cache(maxsize=1)
def _stages_of_worker(job: Job) -> Stages:
    torch.set_num_threads(1)
    return Stages(job)


def _by_pixels(images: Iterable[Decoded], stages: Stages) -> Iterator[Photograph]:
    """Run the stages over parts of a batch that hold a bounded number of pixels."""
    part: list[Decoded] = []
    pixels = 0
    for decoded in images:
        part.append(decoded)
        pixels += 0 if isinstance(decoded[1], ImageError) else decoded[1].shape[0] * decoded[1].shape[1]
        if pixels > BATCH_PIXELS:
            yield from _run(part, stages)
            part, pixels = [], 0
    yield from _run(part, stages)


def _run(part: list[Decoded], stages: Stages) -> Iterator[Photograph]:
    done = stages([(name, image) for name, image, _ in part])
    for photograph, (_, _, seconds) in zip(done, part, strict=True):
        photograph.seconds["decode"] = seconds
        yield photograph


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
