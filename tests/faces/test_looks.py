"""What is seen of a face in its crop: sharpness, noise, contrast, what is covered, and whether it is upside down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from facever.datasets.occlusion import Occlusion
from facever.faces.alignment import align
from facever.faces.detection import Detector
from facever.faces.images import ImageArray
from facever.faces.looks import Looks, bend, contrast, noise, standard_crop
from facever.faces.pipeline import Job, Pipeline
from facever.faces.sources import Decoded
from facever.weights.alignment import DLIB_150, FACE_112X112, NEAR_80


@pytest.fixture(scope="module")
def crops(portrait: Path) -> dict[str, ImageArray]:
    """The portrait's face, cut three ways."""
    image = np.asarray(Image.open(portrait).convert("RGB"))
    (face, *_) = Detector().detect(image)
    return {each.name: align(image, face.landmarks, each) for each in (FACE_112X112, DLIB_150, NEAR_80)}


def sharpness(crop: ImageArray) -> float:
    return Looks.of(crop, FACE_112X112).sharpness


def as_crop(gray: Any) -> ImageArray:
    return np.stack([np.clip(np.round(gray), 0, 255).astype(np.uint8)] * 3, axis=-1)


def test_sharpness_is_the_least_variance_of_second_differences_over_that_of_gray_levels() -> None:
    # 50 sin(kx) + 50 sin(ky) with k = pi/4. Along an axis the second difference is -2 (1 - cos k) 50 sin, of variance
    # 2 (1 - cos k)^2 50^2; along a diagonal, halved, -(1 - cos k) (50 sin(kx) + 50 sin(ky)): (1 - cos k)^2 50^2.
    wave = 50 * np.sin(np.arange(112) * np.pi / 4)
    both = wave[None] + wave[:, None]
    share = (1 - np.cos(np.pi / 4)) ** 2
    assert bend(as_crop(128 + both)) == pytest.approx(share * 50**2, rel=0.03)
    assert contrast(as_crop(128 + both)) == pytest.approx(50, rel=0.01)
    for light in (1, 0.5, 0.2):
        assert sharpness(as_crop(light * (128 + both))) == pytest.approx(100 * share, rel=0.05)
    # Stripes do not change along themselves.
    assert sharpness(as_crop(np.tile(128 + wave, (112, 1)))) == 0
    assert sharpness(as_crop(np.full((112, 112), 77))) == 0


def test_noise_is_measured_in_gray_levels_of_a_crop_halved() -> None:
    generator = np.random.default_rng(0)
    ramp = np.linspace(60, 190, 112)[None] + np.linspace(-30, 30, 112)[:, None]
    assert noise(as_crop(ramp)) < 0.5
    for deviation in (5, 10, 20):
        # The mean of four pixels has half the deviation. An estimate from a fifth of the pixels is rough.
        noisy = as_crop(ramp + generator.normal(0, deviation, (112, 112)))
        assert noise(noisy) == pytest.approx(deviation / 2, rel=0.2)
        # White noise alone is not sharp.
        assert Looks.of(noisy, FACE_112X112).noise_share > 0.5


def test_blur_and_motion_in_any_direction_lower_it(crops: dict[str, ImageArray]) -> None:
    crop = crops["face-112x112"]
    clear = sharpness(crop)
    assert sharpness((crop * 0.5).round().astype(np.uint8)) == pytest.approx(clear, rel=0.2)
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


def test_nothing_speaks_against_a_clear_face(crops: dict[str, ImageArray]) -> None:
    for alignment in (FACE_112X112, DLIB_150, NEAR_80):
        looks = Looks.of(crops[alignment.name], alignment)
        assert (looks.covered, looks.upside_down) == ((), False)
        assert looks.noise_share < 0.2  # fine skin and film grain in a sharp face
        assert looks.contrast > 30
        assert looks.sharpness > 1


def test_faces_found_upside_down_are_told_and_upright_ones_are_not(data_folder: Path) -> None:
    pipeline, told = Pipeline(Job(output=FACE_112X112, rule="largest")), {1: [], -1: []}
    for path in sorted((data_folder / "lfw").glob("*/*_0001.jpg"))[:120]:
        for direction, found in told.items():
            image = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB"))[::direction, ::direction])
            for face in pipeline([Decoded(path.name, image)])[0].faces:
                assert face.crop is not None
                found.append(pipeline.looks(face.crop).upside_down)
    assert len(told[-1]) > 30
    assert np.mean(told[-1]) > 0.8
    assert not any(told[1])


@pytest.mark.parametrize(("shares", "part"), [((1.0, 0.0), "lower face"), ((0.0, 1.0), "eye region")])
def test_drawn_masks_and_glasses_are_told_from_each_other(
    crops: dict[str, ImageArray], shares: tuple[float, float], part: str
) -> None:
    draw = Occlusion(FACE_112X112, *shares)
    x = torch.from_numpy(crops["face-112x112"]).permute(2, 0, 1).float().expand(40, -1, -1, -1)
    covered = draw(x.clone(), torch.Generator().manual_seed(5)).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    told = [Looks.of(crop, FACE_112X112).covered for crop in covered]
    assert np.mean([part in each for each in told]) > 0.85
    assert np.mean([len(each) > 1 for each in told]) < 0.2
