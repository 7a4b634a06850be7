"""Detection: batches of mixed sizes against single pictures, and the cascade against facenet-pytorch's own."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image

from facever.errors import SettingError
from facever.faces.detection import Detector
from facever.faces.detector_settings import DetectorSettings
from facever.faces.face import Face
from facever.faces.images import load_image

Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The networks are too small to share among threads, which wait for each other where other work is running."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def detector_on(device: str = "cpu") -> Detector:
    return Detector(device)


@functools.cache
def lfw(folder: Path, count: int) -> list[Pixels]:
    """`count` photographs of 250x250 pixels, spread over the whole of LFW."""
    paths = sorted((folder / "lfw").glob("*/*.jpg"))
    return [load_image(path) for path in paths[:: len(paths) // count][:count]]


def training_photographs(folder: Path, source: str, count: int, shape: tuple[int, int] | None = None) -> list[Pixels]:
    """The first photographs of `count` people, where asked only those of a certain height and width."""
    if not (folder / "train").is_dir():
        pytest.skip(f"no folder {folder / 'train'}")
    found: list[Pixels] = []
    for person in sorted((folder / "train").glob(f"{source}_*")):
        photograph = load_image(min(person.glob("*.jpg")))
        if shape in (None, photograph.shape[:2]):
            found.append(photograph)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} photographs of {source}")


def scaled(image: Pixels, factor: float) -> Pixels:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=method), np.uint8)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def iou(a: NDArray, b: NDArray) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    common = sides[0] * sides[1]
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def largest(faces: Sequence[Face]) -> Face:
    return max(faces, key=lambda face: face.area)


def assert_same_faces(found: Sequence[Face], expected: Sequence[Face]) -> None:
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(face.box, other.box, atol=1)
        np.testing.assert_allclose(face.landmarks, other.landmarks, atol=1)
        assert face.score == pytest.approx(other.score, abs=1e-3)


# A photograph that comes with scikit-image: pixels read off it by eye.
ASTRONAUT = [[203.7, 101.3], [246.3, 103.3], [223.3, 128.3], [203.0, 140.3], [247.0, 138.3]]


def test_landmarks_lie_where_an_eye_sees_them() -> None:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    (face,) = detector_on().detect(astronaut)
    assert np.linalg.norm(face.landmarks - ASTRONAUT, axis=1).max() < 6  # of 43 pixels from eye to eye
    assert face.score > 0.99
    assert (face.box[:2] < face.landmarks.min(axis=0)).all() and (face.box[2:] > face.landmarks.max(axis=0)).all()


@pytest.mark.slow
@pytest.mark.data
def test_a_batch_of_mixed_sizes_gives_what_each_photograph_gives_alone(data_folder: Path, device: str) -> None:
    photographs = lfw(data_folder, 200)
    empty = noise(240, 310)
    batch = [
        *photographs[:100],
        scaled(photographs[0], 0.5),
        scaled(photographs[1], 2.3),
        photographs[2][20:230, 60:190],
        empty,
        np.zeros((1, 1, 3), np.uint8),
        *training_photographs(data_folder, "kin", 6),
        *training_photographs(data_folder, "celeba", 6),
        *photographs[100:],
    ]
    detector = detector_on(device)
    together = detector.detect_batch(batch)
    assert len(together) == len(batch)
    for image, found in zip(batch, together, strict=True):
        assert_same_faces(found, detector.detect(image))
    assert together[103] == together[104] == []
    assert sum(bool(faces) for faces in together) >= 0.98 * (len(batch) - 2)


@pytest.mark.parametrize("shape", [(250, 250), (1, 1), (1, 300), (300, 1), (2, 2), (12, 12), (600, 40)])
def test_a_picture_without_a_face_gives_an_empty_list(shape: tuple[int, int], device: str) -> None:
    assert detector_on(device).detect(noise(*shape)) == []
    assert detector_on(device).detect(np.full((*shape, 3), 128, np.uint8)) == []


def test_pictures_without_a_face_may_stand_anywhere_in_a_batch() -> None:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    alone = detector_on().detect(astronaut)
    found = detector_on().detect_batch(
        [noise(250, 250), astronaut, noise(1, 1), noise(90, 400), astronaut, noise(3, 3)]
    )
    assert [len(faces) for faces in found] == [0, 1, 0, 0, 1, 0]
    assert_same_faces(found[1], alone)
    assert_same_faces(found[4], alone)


def test_an_empty_batch_gives_an_empty_list() -> None:
    assert detector_on().detect_batch([]) == []


@pytest.mark.slow
@pytest.mark.data
def test_the_face_of_every_lfw_photograph_lies_in_its_middle(data_folder: Path) -> None:
    """LFW's photographs are centered on their face."""
    found = detector_on().detect_batch(lfw(data_folder, 60))
    middle = np.array([124.5, 124.5])
    central = [any((f.box[:2] < middle).all() and (middle < f.box[2:]).all() for f in faces) for faces in found]
    assert np.mean(central) >= 0.98


@pytest.mark.data
def test_faces_are_found_wherever_they_stand_in_a_picture(data_folder: Path) -> None:
    photographs = lfw(data_folder, 60)[:4]
    collage = np.full((700, 1100, 3), 128, np.uint8)
    corners = [(30, 20), (800, 40), (60, 430), (450, 440)]  # x, y
    for photograph, (x, y) in zip(photographs, corners, strict=True):
        collage[y : y + 250, x : x + 250] = photograph
    found = detector_on().detect(collage)
    for faces, corner in zip(detector_on().detect_batch(photographs), corners, strict=True):
        landmarks = largest(faces).landmarks + np.array(corner)
        assert min(np.linalg.norm(face.landmarks - landmarks, axis=1).max() for face in found) < 5
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)


def facenet_faces(image: Pixels) -> tuple[NDArray, NDArray]:
    """The boxes (n, 4) and landmarks (n, 5, 2) that facenet-pytorch's own cascade finds."""
    boxes, _, landmarks = facenet_cascade().detect(image, landmarks=True)
    if boxes is None:
        return np.empty((0, 4)), np.empty((0, 5, 2))
    return np.asarray(boxes, float), np.asarray(landmarks, float)


@functools.cache
def facenet_cascade() -> MTCNN:
    return MTCNN(min_face_size=40, keep_all=True)


@pytest.mark.slow
@pytest.mark.data
def test_faces_are_those_of_facenet_pytorch(data_folder: Path) -> None:
    ours = detector_on().detect_batch(lfw(data_folder, 60))
    theirs = [facenet_faces(image) for image in lfw(data_folder, 60)]
    same_count = [len(faces) == len(boxes) for faces, (boxes, _) in zip(ours, theirs, strict=True)]
    assert np.mean(same_count) >= 0.95

    overlaps, distances = [], []
    for faces, (boxes, landmarks) in zip(ours, theirs, strict=True):
        for box, points in zip(boxes, landmarks, strict=True):
            nearest = max(faces, key=lambda face: iou(face.box, box))
            if iou(nearest.box, box) > 0.3:
                overlaps.append(iou(nearest.box, box))
                distances += list(np.linalg.norm(nearest.landmarks - points, axis=1))
    assert len(overlaps) >= 60
    assert np.mean(np.array(overlaps) > 0.8) >= 0.95
    assert np.median(distances) < 2


@pytest.mark.slow
@pytest.mark.data
def test_from_the_same_pyramid_every_face_is_that_of_facenet_pytorch(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch and OpenCV average areas in different ways; with OpenCV in both cascades even weak faces are the same.

    Averages of averages differ from averages by rounding: here none are taken.
    """

    def resample(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:  # (1, 3, h, w)
        image = x[0].permute(1, 2, 0).numpy().astype(np.uint8)
        small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small).permute(2, 0, 1)[None].float()

    monkeypatch.setattr("facenet_pytorch.models.utils.detect_face.imresample", resample)
    monkeypatch.setattr("facever.faces.halvings.AVERAGED", 1e6)
    for image in lfw(data_folder, 60)[::2]:
        faces = detector_on().detect(image)
        boxes, landmarks = facenet_faces(image)
        assert len(faces) == len(boxes)
        for face in faces:
            i = np.argmax([iou(face.box, box) for box in boxes])
            np.testing.assert_allclose(face.box, boxes[i], atol=0.01)
            np.testing.assert_allclose(face.landmarks, landmarks[i], atol=0.01)


@pytest.mark.slow
@pytest.mark.data
def test_averages_of_averages_give_the_faces_of_averages(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = lfw(data_folder, 60)
    found = detector_on().detect_batch(photographs)
    monkeypatch.setattr("facever.faces.halvings.AVERAGED", 1e6)
    expected = detector_on().detect_batch(photographs)
    assert sum(map(len, found)) == pytest.approx(sum(map(len, expected)), abs=1)
    distances = [
        np.linalg.norm(largest(faces).landmarks - largest(others).landmarks, axis=1).mean()
        for faces, others in zip(found, expected, strict=True)
    ]
    assert np.median(distances) < 0.5


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("factor", [1, 0.4])
def test_a_face_is_found_in_small_pictures(data_folder: Path, factor: float) -> None:
    """At 44x36 pixels even the whole picture is smaller than the smallest face that is looked for."""
    photographs = training_photographs(data_folder, "celeba", 30, shape=(109, 89))
    if factor < 1:
        photographs = [scaled(photograph, factor) for photograph in photographs]
    found = detector_on().detect_batch(photographs)
    assert np.mean([bool(faces) for faces in found]) >= 0.95
    for faces in filter(None, found):
        eyes = largest(faces).landmarks[:2] / factor
        # CelebA is aligned by its eyes, at (69, 111) and (108, 111) of 178x218 pixels: halved.
        np.testing.assert_allclose(eyes, [[34.5, 55.5], [54, 55.5]], atol=8)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("count", "factor"), [(30, 1), (15, 12)], ids=["small", "large"])
def test_a_face_that_fills_its_picture_is_found_by_the_mirrored_second_try(
    data_folder: Path, count: int, factor: int
) -> None:
    detector = Detector(settings=DetectorSettings.parse("40"))
    photographs = lfw(data_folder, 60)[:count]
    whole = [largest(faces) for faces in detector_on().detect_batch(photographs)]
    cut, corners = [], []
    for photograph, face in zip(photographs, whole, strict=True):
        inset = 0.1 * (face.box[2:] - face.box[:2])
        x0, y0 = np.clip(face.box[:2] + inset, 0, None).astype(int)
        x1, y1 = (face.box[2:] - inset).astype(int)
        cut.append(scaled(photograph[y0:y1, x0:x1], factor))
        corners.append((x0, y0))

    first = detector._enlarged(cut)
    without_border = sum(map(bool, first))
    found = detector.detect_batch(cut)
    assert sum(bool(faces) for faces in found) >= 0.9 * len(cut)
    assert without_border <= 0.6 * len(cut)

    errors = []
    found = [[face.moved(0, factor) for face in faces] for faces in found]
    cut = [image[::factor, ::factor] for image in cut]
    for image, faces, before, face, corner in zip(cut, found, first, whole, corners, strict=True):
        for each in faces:
            x, y = (each.box[:2] + each.box[2:]) / 2
            assert 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
        if faces and not before:
            assert len(faces) == 1, "a mirror image counts as a face"
            error = np.linalg.norm(faces[0].landmarks + corner - face.landmarks, axis=1).mean()
            errors.append(error / (face.box[2] - face.box[0]))
    assert np.median(errors) < 0.12


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("factor", [0.6, 2, 3])
def test_faces_of_a_scaled_picture_are_scaled(data_folder: Path, factor: float) -> None:
    photographs = lfw(data_folder, 60)[:15]
    found = detector_on().detect_batch([scaled(photograph, factor) for photograph in photographs])
    for faces, original in zip(found, detector_on().detect_batch(photographs), strict=True):
        face = largest(original)
        nearest = max((each.moved(0, factor) for each in faces), key=lambda each: iou(each.box, face.box))
        assert iou(nearest.box, face.box) > 0.75
        assert np.linalg.norm(nearest.landmarks - face.landmarks, axis=1).mean() < 5


@pytest.mark.data
def test_small_faces_are_not_found_with_a_higher_smallest_face(data_folder: Path) -> None:
    photograph = lfw(data_folder, 60)[0]  # its face is 97 pixels wide
    picture = np.full((750, 1100, 3), 128, np.uint8)
    picture[:, :750] = scaled(photograph, 3)
    picture[300:450, 850:1000] = scaled(photograph, 0.6)
    widths = sorted(round(face.box[2] - face.box[0]) for face in detector_on().detect(picture))
    assert widths[0] == pytest.approx(58, rel=0.15) and widths[-1] == pytest.approx(291, rel=0.15)
    (only,) = Detector(settings=DetectorSettings(min_face=200)).detect(picture)
    assert only.box[2] - only.box[0] == pytest.approx(291, rel=0.15)


@pytest.mark.slow
@pytest.mark.data
def test_no_face_is_less_sure_than_the_last_threshold(data_folder: Path) -> None:
    photographs = lfw(data_folder, 60)
    found = Detector(settings=DetectorSettings(thresholds=(0.6, 0.7, 0.99))).detect_batch(photographs)
    scores = [face.score for faces in found for face in faces]
    assert min(scores) > 0.99 and max(scores) <= 1
    certain = Detector(settings=DetectorSettings(thresholds=(0.6, 0.7, 1.0)))
    assert certain.detect_batch(photographs[:5]) == [[]] * 5


def test_the_smallest_face_is_a_number_of_pixels_or_a_share() -> None:
    assert DetectorSettings.parse("25") == DetectorSettings(min_face=25, min_share=0.0)
    share = DetectorSettings.parse("10%")
    assert share.smallest(250, 300) == 40  # 25 would be smaller than what can be told apart
    assert share.smallest(4000, 3000) == 300
    for text in ("small", "5 %%", "", "1.5", "11", "100%", "-3%"):
        with pytest.raises(SettingError):
            DetectorSettings.parse(text)


@pytest.mark.slow
@pytest.mark.data
def test_a_large_picture_is_searched_for_faces_from_its_share_on(data_folder: Path) -> None:
    """A face of 24 and one of 97 pixels in a picture of 3,000 by 2,400: the share is 72."""
    photograph = lfw(data_folder, 60)[0]
    picture = np.full((2400, 3000, 3), 128, np.uint8)
    picture[200:262, 300:362] = scaled(photograph, 0.25)[:62, :62]
    picture[1200:1450, 1200:1450] = photograph
    (only,) = detector_on().detect(picture)
    assert only.box[2] - only.box[0] == pytest.approx(97, rel=0.15)
    assert len(Detector(settings=DetectorSettings.parse("20")).detect(picture)) == 2


@pytest.mark.parametrize("min_face", [11, 0, -40])
def test_a_smallest_face_below_the_first_networks_window_is_refused(min_face: int) -> None:
    with pytest.raises(SettingError, match="at least 12"):
        DetectorSettings(min_face=min_face)


@pytest.mark.parametrize("thresholds", [(0.6, 0.7), (0.6, 0.7, 0.7, 0.7), (0.6, 0.7, 1.01), (-0.1, 0.7, 0.7)])
def test_thresholds_must_be_three_probabilities(thresholds: tuple[float, float, float]) -> None:
    with pytest.raises(SettingError, match="three probabilities"):
        DetectorSettings(thresholds=thresholds)


def test_a_threshold_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(SettingError, match="three probabilities"):
        DetectorSettings(thresholds=(0.6, 0.7, float("nan")))


def test_a_face_is_moved_and_scaled_by_hand() -> None:
    box = np.array([10, 20, 50, 100], np.float32)
    landmarks = np.array([[20, 40], [40, 40], [30, 60], [22, 80], [38, 80]], np.float32)
    face = Face(box, landmarks, 0.75)
    moved = face.moved(offset=10, scale=2)
    assert moved.box.tolist() == [0, 5, 20, 45]
    assert moved.landmarks.tolist() == [[5, 15], [15, 15], [10, 25], [6, 35], [14, 35]]
    assert moved.score == 0.75
    assert face.area == 40 * 80
    assert moved.area == 20 * 40


@pytest.mark.slow
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_face_is_found_where_it_is_if_rotations_are_tried(portrait: Path, quarters: int) -> None:
    image = np.asarray(Image.open(portrait).convert("RGB").resize((256, 300)))
    (upright,) = Detector().detect(image)
    turned = np.ascontiguousarray(np.rot90(image, quarters))
    found = Detector(settings=DetectorSettings(rotations=True)).detect(turned)
    (back,) = Detector().detect(np.ascontiguousarray(np.rot90(turned, 4 - quarters)))
    assert found[0].score == pytest.approx(upright.score, abs=1e-3) == pytest.approx(back.score, abs=1e-3)
    expected = upright.turned_back(4 - quarters, turned.shape)  # the upright picture is the turned one, turned back
    np.testing.assert_allclose(found[0].landmarks, expected.landmarks, atol=1.5)
    np.testing.assert_allclose(found[0].box, expected.box, atol=2)
    # The eyes lie where the picture's own turn puts them.
    eyes, mouth = found[0].landmarks[:2].mean(0), found[0].landmarks[3:].mean(0)
    right, down = mouth - eyes
    assert {1: right > abs(down), 2: -down > abs(right), 3: -right > abs(down)}[quarters]


def test_an_upright_certain_face_is_not_looked_for_again(portrait: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(settings=DetectorSettings(rotations=True))
    image = np.asarray(Image.open(portrait).convert("RGB").resize((171, 200)))
    calls: list[int] = []
    whole = detector._enlarged
    monkeypatch.setattr(detector, "_enlarged", lambda images, *rest: calls.append(len(images)) or whole(images, *rest))
    assert len(detector.detect(image)) == 1
    assert sum(calls) == 1
