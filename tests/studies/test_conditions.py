"""Degradations, on pictures for which the result is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facever.faces.face import Face
from facever.studies.conditions import conditions, either_half, shrunk

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (120, 160, 3), np.uint8)
# Eyes 40 pixels apart, the nose at (80, 60).
LANDMARKS = np.array([[60, 40], [100, 40], [80, 60], [65, 80], [95, 80]], np.float32)
FACE = Face(np.array([40, 10, 120, 110], np.float32), LANDMARKS, 1.0)


def changed(name: str, picture: np.ndarray = PICTURE, seed: int = 0) -> np.ndarray:
    before = picture.copy()
    result = conditions()[name].change(picture, FACE, np.random.default_rng(seed))
    assert (picture == before).all() and result.dtype == np.uint8
    return result


def test_the_first_condition_changes_nothing() -> None:
    assert next(iter(conditions())) == "untouched"
    assert (changed("untouched") == PICTURE).all()


def test_jpeg_is_that_of_its_quality() -> None:
    smooth = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], 160, axis=1).repeat(3, axis=2)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=10, subsampling=2)
    expected = np.asarray(Image.open(buffer)).astype(int)
    assert np.abs(changed("JPEG, quality 10", smooth).astype(int) - expected).max() <= 2
    errors = [np.abs(changed(f"JPEG, quality {q}").astype(int) - PICTURE).mean() for q in (90, 50, 10)]
    assert errors == sorted(errors)


def test_blur_follows_the_distance_of_the_eyes() -> None:
    edge = np.zeros((120, 160, 3), np.uint8)
    edge[:, 80:] = 200
    row = changed("blur, 0.12 of the eyes' distance", edge)[60, :, 0].astype(float)
    # The slope of a blurred edge is its height over sigma sqrt(2 pi); sigma is 0.12 * 40 = 4.8 pixels.
    assert np.diff(row).max() == pytest.approx(200 / (4.8 * np.sqrt(2 * np.pi)), abs=1.5)


def test_noise_has_its_deviation_and_its_own_draws() -> None:
    plain = np.full((120, 160, 3), 128, np.uint8)
    first, second = changed("noise, 20 gray levels", plain), changed("noise, 20 gray levels", plain, seed=1)
    assert (first.astype(float) - 128).std() == pytest.approx(20, rel=0.03)
    assert (first == changed("noise, 20 gray levels", plain)).all()
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.02


def test_scaling_down_averages() -> None:
    half = changed("half the size")
    assert half.shape == (60, 80, 3)
    assert half[0, 0, 0] == pytest.approx(PICTURE[:2, :2, 0].mean(), abs=0.6)
    assert changed("an eighth of the size").shape == (15, 20, 3)
    face_of_20 = shrunk(20)(PICTURE, FACE, np.random.default_rng(0))  # of 89.4 pixels: sqrt(80 * 100)
    assert face_of_20.shape == (27, 36, 3)


def test_light_is_multiplied_rounded_and_clipped() -> None:
    picture = np.array([[[9, 100, 200]]], np.uint8)
    assert changed("a tenth of the light", picture).tolist() == [[[1, 10, 20]]]
    assert changed("twice the light", picture).tolist() == [[[18, 200, 255]]]


def test_quarter_turns_move_pixels_exactly_and_others_enlarge_the_frame() -> None:
    assert (changed("turned by 180°") == PICTURE[::-1, ::-1]).all()
    sideways = changed("turned by 90°")
    assert any((sideways == np.rot90(PICTURE, k)).all() for k in (1, 3))
    height, width, _ = changed("turned by 45°").shape
    assert height == width == round((120 + 160) / np.sqrt(2))


def test_turns_go_to_either_side() -> None:
    turned = [changed("turned by 90°", seed=seed) for seed in range(20)]
    quarters = {k for each in turned for k in (1, 3) if (each == np.rot90(PICTURE, k)).all()}
    assert quarters == {1, 3}


def test_gray_is_rec_601() -> None:
    picture = np.array([[[200, 100, 50]]], np.uint8)
    assert changed("gray", picture).tolist() == [[[124] * 3]]  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2


def test_half_of_the_face_is_cut_off_at_the_nose() -> None:
    assert (changed("lower half cut off") == PICTURE[:60]).all()
    assert (changed("right half cut off") == PICTURE[:, :80]).all()
    halves = [either_half(PICTURE, FACE, np.random.default_rng(seed)) for seed in range(20)]
    assert any((half == PICTURE[:, :80]).all() for half in halves if half.shape == (120, 80, 3))
    assert any((half == PICTURE[:, 80:]).all() for half in halves)


@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_sunglasses_and_masks_lie_on_the_face_however_it_is_turned(turn: float) -> None:
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((LANDMARKS - LANDMARKS[2]) @ rotation.T + [80, 60]).astype(np.float32)
    face = Face(FACE.box, points, 1.0)
    plain = np.full((120, 160, 3), 150, np.uint8)

    def drawn(name: str, seed: int) -> np.ndarray:
        return (conditions()[name].change(plain, face, np.random.default_rng(seed)) != plain).any(axis=2)

    at = [(round(float(y)), round(float(x))) for x, y in points]
    middle_of_mouth = tuple(np.round(points[3:].mean(axis=0)[::-1]).astype(int))
    for seed in range(5):
        glasses = drawn("sunglasses", seed)
        assert glasses[at[0]] and glasses[at[1]] and not glasses[middle_of_mouth]
        assert 0.02 < glasses.mean() < 0.2
    masks = np.array([drawn("mask or hand", seed) for seed in range(20)])
    assert masks[(slice(None), *middle_of_mouth)].mean() > 0.8
    assert not masks[(slice(None), *at[0])].any() and not masks[(slice(None), *at[1])].any()
