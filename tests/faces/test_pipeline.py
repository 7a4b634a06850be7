"""The pipeline over files: order, broken pictures, the rules for faces, workers, bounded batches."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import worker_samples
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from facever.errors import AlignmentError
from facever.faces import parallel as streaming
from facever.faces import pipeline
from facever.faces.detection import Detector
from facever.faces.detector_settings import DetectorSettings
from facever.faces.embedder import Embedder
from facever.faces.face import Face
from facever.faces.images import load_image
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job, PhotoResult, Pipeline, choose_faces
from facever.faces.sources import Decoded
from facever.faces.workers import Workers
from facever.weights.alignment import DLIB_150
from facever.weights.shipped import find_weights

# Where the face is in the portrait of 512x600 pixels, seen by eye: its center, and from brow to chin.
FACE_X, FACE_Y, FACE_HEIGHT = 262, 225, 220

# Batches of another size add up in another order, so a pixel of a crop may round to the next level; and bfloat16 shows
# the order of a sum in its third digit. The least cosine between two embeddings of one photograph:
LEAST_COSINE = {"fp32": 1 - 1e-6, "bf16": 0.9995}
IN_EACH_PRECISION = pytest.mark.parametrize("precision", LEAST_COSINE)


@pytest.fixture(scope="module")
def job() -> Job:
    return Job(output=find_weights("default"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """One face in several sizes, a picture without a face, and one that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    whole = Image.open(portrait).convert("RGB")
    for name, size in (("a", (256, 300)), ("b", (205, 240)), ("c", (171, 200)), ("d", (230, 270))):
        whole.resize(size).save(folder / f"{name}.png")
    Image.new("RGB", (250, 200), "teal").save(folder / "empty_room.png")
    (folder / "broken.jpg").write_bytes(portrait.read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Three faces side by side: the largest at the left, a small one in the middle, one between them at the right."""
    path = tmp_path_factory.mktemp("group") / "group.png"
    whole = Image.open(portrait).convert("RGB")
    canvas = Image.new("RGB", (800, 320), (90, 90, 90))
    for left, scale in PASTED.values():
        canvas.paste(whole.resize((round(512 * scale), round(600 * scale))), (left, 0))
    canvas.save(path)
    return path


# Left edge and scale of each face of the group. The middle one's center is at x = 418 of 800.
PASTED = {"left": (0, 0.5), "middle": (340, 0.3), "right": (560, 0.4)}


def is_at(box: NDArray, place: str) -> bool:
    """Whether the center of a box is within a third of the face's height of that face."""
    left, scale = PASTED[place]
    distance = np.hypot((box[0] + box[2]) / 2 - left - scale * FACE_X, (box[1] + box[3]) / 2 - scale * FACE_Y)
    return bool(distance < scale * FACE_HEIGHT / 3)


def embedding_of(photograph: PhotoResult) -> NDArray[np.float32]:
    (face,) = photograph.faces
    assert face.embedding is not None
    return face.embedding


def cosine_of(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def a_face(x0: float, y0: float, x1: float, y1: float) -> Face:
    return Face(np.array([x0, y0, x1, y1], np.float32), np.zeros((5, 2), np.float32), 1.0)


@pytest.mark.slow
def test_results_come_in_the_order_of_the_paths_and_a_broken_one_does_not_stop_them(folder: Path, job: Job) -> None:
    names = ["d.png", "broken.jpg", "a.png", "empty_room.png", "gone.jpg", "b.png"]
    done = list(process_files([folder / name for name in names], job))
    assert [Path(p.source).name for p in done] == names
    assert [len(p.faces) for p in done] == [1, 0, 1, 0, 0, 1]
    assert [p.readable for p in done] == [True, False, True, True, False, True]
    for photograph, reason in ((done[1], "cut off"), (done[3], "no face found"), (done[4], "no such file")):
        (problem,) = photograph.problems
        assert problem.startswith(photograph.source)
        assert reason in problem
    assert not any(p.problems for p in (done[0], done[2], done[5]))


@pytest.mark.slow
@IN_EACH_PRECISION
def test_a_photograph_gives_the_same_embedding_alone_and_among_others(folder: Path, job: Job, precision: str) -> None:
    paths = [folder / f"{name}.png" for name in "abcd"]
    job = replace(job, precision=precision)
    together = list(process_files(paths, job))
    for path, among_others in zip(paths, together, strict=True):
        (alone,) = process_files([path], job)
        assert cosine_of(embedding_of(among_others), embedding_of(alone)) >= LEAST_COSINE[precision]


@pytest.mark.slow
@IN_EACH_PRECISION
def test_two_workers_give_what_one_process_gives_in_the_same_order(folder: Path, job: Job, precision: str) -> None:
    paths = [folder / name for name in ("a.png", "broken.jpg", "c.png", "empty_room.png", "b.png")] * 4  # two batches
    job = replace(job, precision=precision)
    one = list(process_files(paths, job, workers=1))
    two = list(process_files(paths, job, workers=2))
    assert [p.source for p in two] == [str(path) for path in paths]
    for a, b in zip(one, two, strict=True):
        assert (a.source, a.found, a.problems, a.readable) == (b.source, b.found, b.problems, b.readable)
        for face, other in zip(a.faces, b.faces, strict=True):
            assert face.embedding is not None and other.embedding is not None
            assert cosine_of(face.embedding, other.embedding) >= LEAST_COSINE[precision]
            np.testing.assert_allclose(face.face.box, other.face.box, atol=1e-2)


@pytest.mark.slow
def test_bfloat16_is_what_it_says_and_near_to_float32(folder: Path, job: Job) -> None:
    """Else the comparisons above would compare one precision twice."""
    full, half = (
        embedding_of(next(process_files([folder / "a.png"], replace(job, precision=each)))) for each in LEAST_COSINE
    )
    assert 0.999 <= cosine_of(full, half) < LEAST_COSINE["fp32"]


@pytest.mark.slow
def test_a_photograph_that_kills_its_worker_is_named_and_costs_no_other(folder: Path, job: Job) -> None:
    """The system's killer of large processes, played by a detector that ends the process on a certain picture."""
    paths = [folder / name for name in ("a.png", "empty_room.png", "b.png")]
    pool = Workers(2, worker_samples.deadly_pipeline, (job, 50_000), streaming._lost)
    a, room, b = pool([paths])
    assert [len(a.faces), len(b.faces)] == [1, 1]
    assert not room.readable
    (problem,) = room.problems
    assert problem.startswith(f"{paths[1]}: ") and "use fewer --workers" in problem


@pytest.mark.slow
def test_a_large_jpeg_gives_the_face_of_the_whole_photograph(
    tmp_path: Path, portrait: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face of some 160 pixels in 4,000 by 2,800: it is found at half the size, and cut from all pixels."""
    canvas = Image.new("RGB", (4000, 2800), (90, 90, 90))
    canvas.paste(Image.open(portrait).convert("RGB"), (2000, 900))
    canvas.save(tmp_path / "large.jpg", quality=95)
    sizes = []
    whole_detect = Detector.detect_batch

    def detect_batch(self: Detector, images) -> list[list[Face]]:
        sizes.append([image.shape for image in images])
        return whole_detect(self, images)

    monkeypatch.setattr(Detector, "detect_batch", detect_batch)
    job = replace(job, precision="fp32", keep_crops=True)
    (reduced,) = process_files([tmp_path / "large.jpg"], job)
    (whole,) = process_files([tmp_path / "large.jpg"], replace(job, detector=DetectorSettings.parse("84")))
    assert sizes == [[(1400, 2000, 3)], [(2800, 4000, 3)]]
    assert reduced.size == whole.size == (4000, 2800)
    (face,), (other,) = reduced.faces, whole.faces
    np.testing.assert_allclose(face.face.box, other.face.box, atol=12)  # of 180
    np.testing.assert_allclose(face.face.landmarks, other.face.landmarks, atol=4)
    assert cosine_of(embedding_of(reduced), embedding_of(whole)) > 0.97
    assert face.looks is not None and other.looks is not None
    assert face.looks.sharpness > 0.7 * other.looks.sharpness


@pytest.mark.parametrize(("rule", "places"), [("all", list(PASTED)), ("largest", ["left"]), ("center", ["middle"])])
def test_the_rule_picks_among_several_faces(group: Path, job: Job, rule, places) -> None:
    (photograph,) = process_files([group], replace(job, rule=rule))
    assert photograph.found == 3
    assert len(photograph.faces) == len(places)
    for place in places:
        assert sum(is_at(found.face.box, place) for found in photograph.faces) == 1


def test_the_largest_face_is_that_of_the_largest_box() -> None:
    small, large, far_off = a_face(40, 40, 60, 60), a_face(0, 0, 30, 30), a_face(80, 80, 100, 100)
    faces = [small, large, far_off]
    assert choose_faces(faces, (100, 100, 3), "largest") == [large]
    assert choose_faces(faces, (100, 100, 3), "center") == [small]
    assert choose_faces(faces, (100, 100, 3), "all") == faces
    assert choose_faces([], (100, 100, 3), "largest") == []


def test_the_center_is_half_the_width_and_half_the_height() -> None:
    left, right = a_face(40, 0, 60, 20), a_face(140, 0, 160, 20)
    assert choose_faces([left, right], (20, 300, 3), "center") == [right]  # center at x = 150
    assert choose_faces([left, right], (300, 20, 3), "center") == [left]  # center at x = 10


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="largest, center, all"):
        choose_faces([a_face(0, 0, 1, 1), a_face(1, 1, 2, 2)], (9, 9, 3), "biggest")  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_center_crop_stands_in_only_where_no_face_was_found(folder: Path, job: Job) -> None:
    paths = [folder / "a.png", folder / "empty_room.png", folder / "broken.jpg"]
    face, room, broken = process_files(paths, replace(job, center_fallback=True, keep_crops=True))
    assert face.center is None
    assert broken.center is None
    assert room.faces == []
    assert room.center is not None
    assert room.center.face.box.tolist() == [0, 0, 250, 200]
    assert room.center.face.score == 0
    assert np.all(room.center.crop == load_image(folder / "empty_room.png")[100, 125])  # teal, up to every edge
    assert room.center.embedding is not None
    assert np.linalg.norm(room.center.embedding) == pytest.approx(1, abs=1e-5)
    # Without one that stands in, the photograph has no embedding at all.
    (without,) = process_files([folder / "empty_room.png"], job)
    assert without.center is None


def test_without_weights_the_pipeline_ends_at_the_crops(folder: Path) -> None:
    (photograph,) = process_files([folder / "a.png"], Job(output=DLIB_150))
    (face,) = photograph.faces
    assert face.crop is not None
    assert face.crop.shape == (150, 150, 3)
    assert face.embedding is None
    assert face.norm is None


@pytest.mark.slow
def test_embeddings_come_without_crops_unless_they_are_kept(folder: Path, job: Job) -> None:
    paths = [folder / "a.png", folder / "empty_room.png"]
    alignment = Embedder.load(job.output, "cpu").info.alignment if isinstance(job.output, Path) else job.output
    expected, _ = process_files(paths, Job(output=alignment))
    for keep in (False, True):
        face, room = process_files(paths, replace(job, center_fallback=True, keep_crops=keep))
        assert embedding_of(face).shape == (192,)
        assert room.center is not None and room.center.embedding is not None
        if keep:
            np.testing.assert_array_equal(face.faces[0].crop, expected.faces[0].crop)
            assert room.center.crop is not None
        else:
            assert face.faces[0].crop is None and room.center.crop is None


@pytest.mark.slow
def test_a_face_that_cannot_be_aligned_is_a_problem_of_its_photograph_only(
    folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:

    whole_align, refused = pipeline.align, []

    def align(image, landmarks, alignment):
        if image.shape[1] == 256 and not refused:  # that of a.png
            refused.append(True)
            raise AlignmentError("the landmarks lie on one line")
        return whole_align(image, landmarks, alignment)

    monkeypatch.setattr(pipeline, "align", align)
    a, b = process_files([folder / "a.png", folder / "b.png"], job)
    assert a.faces == []
    assert a.found == 1
    assert a.problems == [f"{a.source}: a face can't be aligned: the landmarks lie on one line"]
    assert len(b.faces) == 1


def test_a_batch_ends_when_it_holds_enough_pixels(folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:

    detected: list[int] = []

    def detect_batch(_: Detector, images) -> list[list[Face]]:
        detected.append(len(images))
        return [[] for _ in images]

    monkeypatch.setattr(streaming, "BATCH_PIXELS", 100_000)
    monkeypatch.setattr(Detector, "detect_batch", detect_batch)
    # 50,000 pixels each: the third goes beyond the bound and ends its batch. A broken one counts by its header.
    paths = [folder / "empty_room.png"] * 5 + [folder / "broken.jpg"] + [folder / "empty_room.png"] * 2
    assert len(list(process_files(paths, job))) == 8
    assert [n for n in detected if n] == [3, 2, 2]


@pytest.mark.parametrize("ahead", [True, False])
def test_pixels_in_memory_are_bounded_before_they_are_decoded(
    folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """50,000 pixels each, and 120,000 are allowed: never more than two pictures at a time."""
    lock, inside, most = threading.Lock(), 0, 0
    read = streaming.read

    def counted(source, *rest):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        return read(source, *rest)

    def detect_batch(_: Detector, images) -> list[list[Face]]:
        nonlocal inside
        with lock:
            inside -= len(images)
        return [[] for _ in images]

    monkeypatch.setattr(streaming, "PIXELS", 120_000)
    monkeypatch.setattr(streaming, "read", counted)
    monkeypatch.setattr(Detector, "detect_batch", detect_batch)
    paths = [folder / "empty_room.png"] * 9
    with ThreadPoolExecutor(4) as pool:
        found = list(streaming._Flow(Pipeline(job), 16, pool if ahead else None)(paths))
    assert [each.source for each in found] == [str(path) for path in paths]
    assert most == 2


def test_a_large_photograph_is_alone_among_all_workers_and_in_its_place(
    folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """50,000 pixels each, and 40,000 are allowed; two workers are played by threads."""
    count, inside, most = threading.Lock(), 0, 0

    def detect_batch(_: Detector, images) -> list[list[Face]]:
        nonlocal inside, most
        if not images:
            return []
        with count:
            inside += len(images)
            most = max(most, inside)
        time.sleep(0.02)
        with count:
            inside -= len(images)
        return [[] for _ in images]

    monkeypatch.setattr(streaming, "PIXELS", 40_000)
    monkeypatch.setattr(Detector, "detect_batch", detect_batch)
    paths = [folder / name for name in ("broken.jpg", "empty_room.png", "gone.jpg", "empty_room.png")]

    def work(_: int) -> list[str]:
        flow = streaming._Flow(Pipeline(job), 16, large=FileLock(tmp_path / "lock"))
        return [each.source for each in flow(paths)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [[str(path) for path in paths]] * 2
    assert most == 1


def test_no_files_give_no_photographs(job: Job) -> None:
    assert list(process_files([], job)) == []


@pytest.mark.slow
@IN_EACH_PRECISION
def test_each_device_gives_the_embeddings_of_the_cpu(folder: Path, job: Job, device: str, precision: str) -> None:
    names = ("a.png", "empty_room.png", "c.png")
    job = replace(job, precision=precision)
    assert isinstance(job.output, Path)
    embedder = Embedder.load(job.output, torch.device(device), precision)
    pipeline = Pipeline(replace(job, device=device), embedder)
    found = pipeline([Decoded(name, load_image(folder / name)) for name in names])
    expected = list(process_files([folder / name for name in names], job))
    assert [len(p.faces) for p in found] == [1, 0, 1]
    for i in (0, 2):
        assert cosine_of(embedding_of(found[i]), embedding_of(expected[i])) >= LEAST_COSINE[precision]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_photograph_tells_what_its_stages_took(folder: Path, job: Job, workers: int) -> None:
    paths = [folder / name for name in ("a.png", "empty_room.png", "broken.jpg", "b.png")]
    start = time.perf_counter()
    face, room, broken, other = process_files(paths, job, workers)
    passed = time.perf_counter() - start
    assert set(face.seconds) == set(other.seconds) == {"decode", "detect", "align", "embed"}
    assert all(value > 0 for value in face.seconds.values())
    assert face.seconds["detect"] == room.seconds["detect"]  # they were one batch
    assert room.seconds["embed"] == 0
    assert broken.seconds["decode"] > 0
    assert "detect" not in broken.seconds
    assert max(sum(p.seconds[stage] for p in (face, room, other)) for stage in ("detect", "embed")) < passed
