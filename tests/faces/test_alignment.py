"""Alignment: transforms against scikit-image and plain least squares, crops against pictures drawn for the purpose."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from facever.errors import AlignmentError
from facever.faces.alignment import align, center_crop, similarity_transform
from facever.weights.alignment import ALIGNMENTS, DLIB_150, FACE_112X96, TIGHT_64X56, Alignment, window

TEMPLATES = pytest.mark.parametrize("alignment", [DLIB_150, FACE_112X96, TIGHT_64X56], ids=lambda a: a.name)
FIVE_POINTS = hnp.arrays(np.float64, (5, 2), elements=st.floats(-100, 100))
ANGLES = st.floats(-math.pi, math.pi)
SCALES = st.floats(0.05, 20)
SHIFTS = hnp.arrays(np.float64, 2, elements=st.floats(-500, 500))
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255)]


def similarity(angle: float, scale: float, shift: Any) -> NDArray[np.float64]:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def apply(transform: NDArray, points: Any) -> NDArray[np.float64]:
    return np.asarray(points) @ transform[:, :2].T + transform[:, 2]


def assume_spread(points: NDArray) -> None:
    across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    assume(across[1] > 0.05 * across[0] and across[1] > 1)


def landmarks_in(side: int, alignment: Alignment, share: float, angle: float = 0.0) -> NDArray[np.float64]:
    """The template as it would lie in the middle of a square picture, its crop covering `share` of the side."""
    template = np.asarray(alignment.landmarks)
    centered = template - template.mean(axis=0)
    middle = ((side - 1) / 2 + 0.3, (side - 1) / 2 - 0.2)
    return apply(similarity(angle, share * side / alignment.height, middle), centered)


def draw_dots(side: int, points: NDArray, radius: float) -> NDArray[np.uint8]:
    """Round soft dots on black, one of `COLORS` each, whose centers of mass are the points."""
    picture = np.zeros((side, side, 3), np.uint8)
    for (x, y), color in zip(points, COLORS, strict=True):
        reach = int(4 * radius) + 1
        x0, y0 = int(x) - reach, int(y) - reach
        assert min(x0, y0) >= 0 and max(x0, y0) + 2 * reach < side
        rows, columns = np.mgrid[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach]
        weight = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
        picture[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach] = np.rint(weight[..., None] * color)
    return picture


def center_of_mass(crop: NDArray, near: tuple[float, float], reach: int = 6) -> tuple[float, float]:
    x0, y0 = round(near[0]) - reach, round(near[1]) - reach
    part = crop[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1].sum(axis=2, dtype=float)
    rows, columns = np.mgrid[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
    return float((columns * part).sum() / part.sum()), float((rows * part).sum() / part.sum())


# --- similarity_transform


def test_a_quarter_turn_twice_the_size_and_a_shift_by_hand() -> None:
    source = [[0, 0], [1, 0], [0, 1]]
    target = [[3, 4], [3, 6], [1, 4]]  # (x, y) -> (3 - 2y, 4 + 2x)
    np.testing.assert_allclose(similarity_transform(source, target), [[0, -2, 3], [2, 0, 4]], atol=1e-12)


def test_the_best_shift_of_a_disturbed_square_by_hand() -> None:
    """Two opposite corners pulled out and two pushed in by as much: on average nothing but the shift is left."""
    source = [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    target = [[6.5, 3.5], [4.5, 2.5], [3.5, 0.5], [5.5, 1.5]]
    np.testing.assert_allclose(similarity_transform(source, target), [[1, 0, 5], [0, 1, 2]], atol=1e-12)


def test_two_points_are_enough() -> None:
    transform = similarity_transform([[0, 0], [1, 0]], [[5, 5], [5, 8]])
    np.testing.assert_allclose(transform, [[0, -3, 5], [3, 0, 5]], atol=1e-12)


@pytest.mark.slow
@given(FIVE_POINTS, ANGLES, SCALES, SHIFTS)
def test_a_known_similarity_is_recovered(points: NDArray, angle: float, scale: float, shift: NDArray) -> None:
    assume_spread(points)
    known = similarity(angle, scale, shift)
    np.testing.assert_allclose(similarity_transform(points, apply(known, points)), known, atol=1e-7)


@pytest.mark.slow
@given(FIVE_POINTS, ANGLES, SCALES, SHIFTS)
def test_there_and_back_is_where_it_began(points: NDArray, angle: float, scale: float, shift: NDArray) -> None:
    assume_spread(points)
    target = apply(similarity(angle, scale, shift), points)
    there = np.vstack([similarity_transform(points, target), [0, 0, 1]])
    back = np.vstack([similarity_transform(target, points), [0, 0, 1]])
    np.testing.assert_allclose(back @ there, np.eye(3), atol=1e-6)


@pytest.mark.slow
@given(FIVE_POINTS, FIVE_POINTS)
def test_the_transform_is_that_of_scikit_image(source: NDArray, target: NDArray) -> None:
    transform = pytest.importorskip("skimage.transform")
    assume_spread(source)
    assume_spread(target)
    ours = similarity_transform(source, target)
    assume(np.hypot(ours[0, 0], ours[1, 0]) > 1e-2)  # else any rotation is as good as another
    if hasattr(transform.SimilarityTransform, "from_estimate"):
        theirs = transform.SimilarityTransform.from_estimate(source, target)
    else:
        theirs = transform.SimilarityTransform()
        assert theirs.estimate(source, target)
    np.testing.assert_allclose(ours, theirs.params[:2], rtol=1e-6, atol=1e-6)


@given(FIVE_POINTS, FIVE_POINTS)
def test_no_other_similarity_is_nearer(source: NDArray, target: NDArray) -> None:
    """[[a, -b, x], [b, a, y]] is linear in a, b, x and y, so least squares can be solved without any rotation."""
    assume_spread(source)
    x, y, one, nil = source[:, 0], source[:, 1], np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, nil], axis=1), np.stack([y, x, nil, one], axis=1)])
    a, b, dx, dy = np.linalg.lstsq(system, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    np.testing.assert_allclose(similarity_transform(source, target), [[a, -b, dx], [b, a, dy]], atol=1e-6)


@given(FIVE_POINTS, ANGLES, SCALES)
def test_a_mirrored_face_is_never_mirrored_back(points: NDArray, angle: float, scale: float) -> None:
    assume_spread(points)
    mirrored = apply(similarity(angle, scale, (0, 0)), points * [-1, 1])
    assert np.linalg.det(similarity_transform(points, mirrored)[:, :2]) >= 0


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        ([[7, 7]] * 5, "same point"),
        ([[0, 0], [1, 2], [2, 4], [3, 6], [4, 8]], "one line"),
        ([[0, 5], [10, 5], [20, 5.01], [30, 5], [40, 5]], "one line"),
        ([[0, 0], [10, 0], [5, math.nan], [1, 9], [9, 9]], "not finite"),
        ([[0, 0], [10, 0], [5, math.inf], [1, 9], [9, 9]], "not finite"),
    ],
)
def test_landmarks_without_a_transform_are_refused(landmarks: list[list[float]], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        similarity_transform(landmarks, FACE_112X96.landmarks)
    with pytest.raises(AlignmentError, match=message):
        align(np.zeros((60, 60, 3), np.uint8), np.array(landmarks), FACE_112X96)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.ones((5, 2)), np.ones((4, 2))),
        (np.ones((5, 3)), np.ones((5, 3))),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.ones(10), np.ones(10)),
    ],
)
def test_arrays_that_are_not_points_are_refused(source: NDArray, target: NDArray) -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        similarity_transform(source, target)


# --- align


@TEMPLATES
@pytest.mark.parametrize("side", [180, 420, 3000])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
def test_the_landmarks_of_a_picture_come_to_lie_at_the_template(alignment: Alignment, side: int, angle: float) -> None:
    landmarks = landmarks_in(side, alignment, share=0.6, angle=angle)
    radius = 1.5 * 0.6 * side / alignment.height  # 1.5 pixels of the crop
    crop = align(draw_dots(side, landmarks, radius), landmarks, alignment)
    assert crop.shape == (alignment.height, alignment.width, 3)
    assert crop.dtype == np.uint8
    for (x, y), color in zip(alignment.landmarks, COLORS, strict=True):
        assert math.dist(center_of_mass(crop, (x, y)), (x, y)) < 0.2
        dot = crop[round(y), round(x)]
        assert ((dot > 150) == (np.array(color) > 0)).all()


def test_a_picture_with_its_landmarks_at_the_template_is_kept_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 96, 3), np.uint8)
    crop = align(picture, np.array(FACE_112X96.landmarks), FACE_112X96)
    np.testing.assert_allclose(crop.astype(int), picture, atol=1)


@TEMPLATES
def test_a_pattern_too_fine_for_the_crop_becomes_gray(alignment: Alignment) -> None:
    """Were pixels skipped, stripes and blotches would come of it."""
    rows, columns = np.indices((3000, 3000))
    checkerboard = ((rows + columns) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    crop = align(checkerboard, landmarks_in(3000, alignment, share=0.6, angle=0.1), alignment)
    np.testing.assert_allclose(crop, 127.5, atol=6)


@pytest.mark.parametrize("side", [120, 3000])
def test_what_lies_outside_the_photograph_is_black_or_its_edge(side: int) -> None:
    picture = np.empty((side, side, 3), np.uint8)
    picture[:, : side // 2], picture[:, side // 2 :] = (200, 10, 60), (20, 90, 240)
    landmarks = landmarks_in(side, DLIB_150, share=1.5)  # a quarter of the picture more on every side
    black = align(picture, landmarks, DLIB_150)
    edge = align(picture, landmarks, Alignment("edge", 150, 150, DLIB_150.landmarks, fill="edge"))
    outer = np.ones((150, 150), bool)
    outer[12:-12, 12:-12] = False
    assert (black[outer] == 0).all()
    np.testing.assert_allclose(edge[:, :12].astype(int), np.broadcast_to([200, 10, 60], (150, 12, 3)), atol=1)
    np.testing.assert_allclose(edge[:, -12:].astype(int), np.broadcast_to([20, 90, 240], (150, 12, 3)), atol=1)
    inner = (slice(50, 100), slice(40, 60))
    np.testing.assert_allclose(black[inner].astype(int), np.broadcast_to([200, 10, 60], (50, 20, 3)), atol=1)
    np.testing.assert_array_equal(black[inner], edge[inner])


def test_a_face_wholly_outside_the_photograph_is_all_fill() -> None:
    for side in (100, 3000):
        landmarks = landmarks_in(side, FACE_112X96, share=0.8) + 4 * side
        assert (align(np.full((side, side, 3), 99, np.uint8), landmarks, FACE_112X96) == 0).all()


@TEMPLATES
@pytest.mark.parametrize("side", [260, 3000])
@pytest.mark.parametrize("margin", [1, 8])
def test_a_padded_crop_holds_the_unpadded_one_in_its_middle(alignment: Alignment, side: int, margin: int) -> None:
    """On white noise, where the least shift of the sampling shows; rounding may move a value by one."""
    rng = np.random.default_rng(side + margin)
    picture = rng.integers(0, 256, (side, side, 3), np.uint8)
    for _ in range(4):
        landmarks = landmarks_in(side, alignment, share=rng.uniform(0.5, 0.9), angle=rng.uniform(-1, 1))
        landmarks += rng.uniform(-0.2, 0.2, 2) * side  # so that some reach beyond the picture
        crop = align(picture, landmarks, alignment)
        padded = align(picture, landmarks, alignment.padded(margin))
        assert padded.shape == (alignment.height + 2 * margin, alignment.width + 2 * margin, 3)
        difference = np.abs(padded[margin:-margin, margin:-margin].astype(int) - crop)
        assert difference.max() <= 1
        assert np.mean(difference > 0) < 0.005


# --- Alignment


def test_a_window_by_hand() -> None:
    """Half of 200 wide, 50 of 50 high at half size: from (50, 10) on, if its center is 10 below that of the crop."""
    crop = Alignment("crop", 100, 200, ((50, 10), (150, 10), (100, 60), (60, 110), (140, 110)), fill="edge")
    tight = window(crop, "tight", share=0.5, down=10.0, height=50, width=50)
    assert tight.name == "tight" and (tight.height, tight.width) == (50, 50) and tight.fill == "edge"
    np.testing.assert_allclose(tight.landmarks, [(0, 0), (50, 0), (25, 25), (5, 50), (45, 50)])


def test_the_whole_crop_is_a_window_too() -> None:
    whole = window(FACE_112X96, "face-112x96", share=1, down=0, height=112, width=96)
    np.testing.assert_allclose(whole.landmarks, FACE_112X96.landmarks)


def test_a_padded_alignment_by_hand() -> None:
    crop = Alignment("crop", 30, 20, ((5, 9), (15, 9), (10, 15), (6, 20), (14, 20)), fill="edge")
    padded = crop.padded(3)
    assert (padded.height, padded.width, padded.fill) == (36, 26, "edge")
    assert padded.landmarks == ((8, 12), (18, 12), (13, 18), (9, 23), (17, 23))


@pytest.mark.parametrize("alignment", [*ALIGNMENTS.values(), FACE_112X96.padded(8)], ids=lambda a: a.name)
def test_an_alignment_survives_json(alignment: Alignment) -> None:
    assert msgspec.convert(json.loads(json.dumps(alignment.to_json())), Alignment) == alignment


def test_alignments_are_listed_by_their_name() -> None:
    assert all(name == alignment.name for name, alignment in ALIGNMENTS.items())


@TEMPLATES
def test_templates_are_upright_faces_inside_their_crop(alignment: Alignment) -> None:
    (left, right, nose, mouth_left, mouth_right) = np.asarray(alignment.landmarks)
    assert 0 < left[0] < nose[0] < right[0] < alignment.width
    assert 0 < mouth_left[0] < nose[0] < mouth_right[0] < alignment.width
    assert 0 < max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1]) < alignment.height


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fill": "mirror"}, "fill is one of black, edge"),
        ({"landmarks": [[1, 2]] * 4}, "five landmarks"),
        ({"landmarks": [[1, 2]] * 6}, "five landmarks"),
        ({"landmarks": [[1, 2, 3]] * 5}, "of length 2"),
        ({"landmarks": [["a", "b"]] * 5}, "Expected `float`, got `str`"),
        ({"height": 0}, "no pixels"),
        ({"width": -4}, "no pixels"),
        ({"height": "tall"}, "Expected `int`, got `str`"),
    ],
)
def test_json_of_an_impossible_alignment_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msgspec.convert({**FACE_112X96.to_json(), **change}, Alignment)


@pytest.mark.parametrize("field", ["name", "height", "width", "landmarks"])
def test_json_of_an_alignment_needs_every_field(field: str) -> None:
    fields = FACE_112X96.to_json()
    del fields[field]
    with pytest.raises(ValueError, match=field):
        msgspec.convert(fields, Alignment)


# --- center_crop


@TEMPLATES
@pytest.mark.parametrize("shape", [(251, 251), (301, 201), (41, 61), (2401, 1801)])
def test_the_center_crop_shows_the_middle_of_the_photograph(alignment: Alignment, shape: tuple[int, int]) -> None:
    """Dots around the middle, 0.17 of the shorter side apart, come to lie around the template's as far as its eyes."""
    (height, width), apart = shape, 0.17 * min(shape)
    rows, columns = np.indices(shape)
    picture = np.zeros((*shape, 3), np.uint8)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    for side in (-1, 1):
        x, y = middle + np.array([side * apart / 2, 0])
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (0.03 * min(shape)) ** 2))
        picture[..., 0 if side < 0 else 1] = np.rint(255 * spot)
    crop = center_crop(picture, alignment).astype(float)
    assert crop.shape == (alignment.height, alignment.width, 3)

    template = np.asarray(alignment.landmarks)
    eyes = template[1, 0] - template[0, 0]
    rows, columns = np.indices(crop.shape[:2])
    for channel, side in ((0, -1), (1, 1)):
        weight = crop[..., channel]
        found = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        expected = template.mean(axis=0) + np.array([side * eyes / 2, 0])
        np.testing.assert_allclose(found, expected, atol=0.5)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_there_is_a_center_crop_of_any_picture(height: int, width: int) -> None:
    crop = center_crop(np.full((height, width, 3), 77, np.uint8), FACE_112X96)
    assert crop.shape == (112, 96, 3)
    assert crop.max() == 77
