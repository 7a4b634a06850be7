"""What is seen of a face in its crop: how sharp it is, and what is covered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from facever.datasets.occlusion import Occlusion
from facever.faces.alignment import align
from facever.faces.detection import Detector
from facever.faces.images import ImageArray
from facever.faces.looks import covered_parts, sharpness, standard_crop
from facever.weights.alignment import DLIB_150, FACE_112X112, NEAR_80


@pytest.fixture(scope="module")
def crops(portrait: Path) -> dict[str, ImageArray]:
    """The portrait's face, cut three ways."""
    image = np.asarray(Image.open(portrait).convert("RGB"))
    (face, *_) = Detector().detect(image)
    return {each.name: align(image, face.landmarks, each) for each in (FACE_112X112, DLIB_150, NEAR_80)}


def test_sharpness_is_the_least_variance_of_second_differences() -> None:
    # 50 sin(kx) + 50 sin(ky) with k = pi/4. Along an axis the second difference is -2 (1 - cos k) 50 sin, of variance
    # 2 (1 - cos k)^2 50^2; along a diagonal, halved, -(1 - cos k) (50 sin(kx) + 50 sin(ky)): (1 - cos k)^2 50^2.
    wave = 50 * np.sin(np.arange(112) * np.pi / 4)
    gray = np.round(128 + wave[None] + wave[:, None]).astype(np.uint8)
    expected = (1 - np.cos(np.pi / 4)) ** 2 * 50**2
    assert sharpness(np.stack([gray] * 3, axis=-1)) == pytest.approx(expected, rel=0.03)
    # Stripes do not change along themselves.
    stripes = np.tile(np.round(128 + wave).astype(np.uint8), (112, 1))
    assert sharpness(np.stack([stripes] * 3, axis=-1)) == 0


def test_blur_and_motion_in_any_direction_lower_it(crops: dict[str, ImageArray]) -> None:
    crop = crops["face-112x112"]
    clear = sharpness(crop)
    assert sharpness(cv2.GaussianBlur(crop, (0, 0), 2.0)) < clear / 5
    for kernel in (np.eye(9), np.eye(9)[::-1], np.ones((1, 9)), np.ones((9, 1))):
        assert sharpness(cv2.filter2D(crop, -1, kernel / kernel.sum())) < clear / 5


def test_crops_of_other_weights_show_the_face_as_the_standard_one_does(crops: dict[str, ImageArray]) -> None:
    standard = crops["face-112x112"]
    assert standard_crop(standard, FACE_112X112) is standard
    middle = slice(40, 90)
    for alignment in (DLIB_150, NEAR_80):
        seen = standard_crop(crops[alignment.name], alignment)
        assert seen.shape == (112, 112, 3)
        apart = np.abs(seen[middle, middle].astype(int) - standard[middle, middle].astype(int))
        assert apart.mean() < 12
        assert sharpness(seen) == pytest.approx(sharpness(standard), rel=0.8)


def test_a_clear_face_is_not_covered(crops: dict[str, ImageArray]) -> None:
    for alignment in (FACE_112X112, DLIB_150, NEAR_80):
        assert covered_parts(standard_crop(crops[alignment.name], alignment)) == ()


@pytest.mark.parametrize(("shares", "part"), [((1.0, 0.0), "lower face"), ((0.0, 1.0), "eye region")])
def test_drawn_masks_and_glasses_are_told_from_each_other(
    crops: dict[str, ImageArray], shares: tuple[float, float], part: str
) -> None:
    draw = Occlusion(FACE_112X112, *shares)
    x = torch.from_numpy(crops["face-112x112"]).permute(2, 0, 1).float().expand(40, -1, -1, -1)
    covered = draw(x.clone(), torch.Generator().manual_seed(5)).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    told = [covered_parts(crop) for crop in covered]
    assert np.mean([part in each for each in told]) > 0.85
    assert np.mean([len(each) > 1 for each in told]) < 0.2
