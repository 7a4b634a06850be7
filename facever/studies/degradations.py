"""Crops degraded in steps: blur, noise, down-scaling, low light, JPEG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.faces.images import ImageArray

Floats = NDArray[np.float64]
Crops = NDArray[np.uint8]


def blurred(crops: Crops, sigma: float) -> Crops:
    """Gaussian blur of so many pixels."""
    if sigma == 0:
        return crops
    return np.stack([np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8) for crop in crops])


def with_noise(pixels: Crops, deviation: float, generator: np.random.Generator) -> Crops:
    """White noise of this standard deviation in gray levels, on one image or many."""
    return np.asarray(np.clip(np.round(pixels + generator.normal(0, deviation, pixels.shape)), 0, 255), np.uint8)


def noisy(crops: Crops, deviation: float) -> Crops:
    """The same noise for every call."""
    return with_noise(crops, deviation, np.random.default_rng(0))


def shrunk(crops: Crops, share: float) -> Crops:
    """Scaled down to this fraction of both sides, by averaging, and up again."""
    if share == 1:
        return crops
    height, width = crops.shape[1:3]
    small = (max(2, round(width * share)), max(2, round(height * share)))
    return np.stack(
        [
            np.asarray(cv2.resize(cv2.resize(crop, small, interpolation=cv2.INTER_AREA), (width, height)), np.uint8)
            for crop in crops
        ]
    )


def dimmed(pixels: Crops, share: float) -> Crops:
    """One image or many in this share of the light, rounded to whole gray levels and clipped as by a camera."""
    return np.asarray(np.clip(np.round(pixels * share), 0, 255), np.uint8)


def through_jpeg(image: ImageArray, quality: int) -> ImageArray:
    """An RGB image (H, W, 3) after JPEG of a quality from 0 to 100, as libjpeg counts."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def recompressed(crops: Crops, quality: int) -> Crops:
    """Each crop through a JPEG."""
    return np.stack([through_jpeg(crop, quality) for crop in crops])


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of degradation, in steps from none to strong."""

    name: str
    unit: str
    change: Callable[[Crops, float], Crops]
    steps: tuple[float, ...]


DEGRADATIONS = (
    Degradation("blur", "standard deviation in pixels", blurred, (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)),
    Degradation("noise", "standard deviation in gray levels", noisy, (0.0, 5.0, 10.0, 20.0, 40.0, 60.0)),
    Degradation("down-scaling", "share of the side that is left", shrunk, (1.0, 0.75, 0.5, 0.35, 0.25, 0.15)),
    Degradation("low light", "share of the light that is left", dimmed, (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)),
)
