"""What can be seen of a face in its aligned crop, whatever the weights: sharpness, noise, what covers it."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.faces.alignment import similarity_transform
from facever.faces.images import ImageArray
from facever.weights.alignment import FACE_112X112, Alignment

Floats = NDArray[np.float32]

PARTS = ("lower face", "eye region")
UPSIDE_DOWN = "upside down"
# Second differences along four directions; the diagonal steps are longer by a factor of sqrt(2).
_DIFFERENCES = tuple(
    np.array(kernel, np.float32)
    for kernel in (
        [[0, 0, 0], [1, -2, 1], [0, 0, 0]],
        [[0, 1, 0], [0, -2, 0], [0, 1, 0]],
        [[0.5, 0, 0], [0, -1, 0], [0, 0, 0.5]],
        [[0, 0, 0.5], [0, -1, 0], [0.5, 0, 0]],
    )
)
# Blind to planes and edges along the axes, with the squares of its elements adding up to 6².
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
# The share of a crop, its smoothest part, that tells the noise; and that quantile of |x| for x of deviation 1.
_SMOOTH, _SMOOTH_OF_ONE = 0.2, 0.2533
# What noise adds to `bend`, for a variance of 1 in the crop halved: 6 where it is white, half that in enlarged crops.
_NOISE_IN_BEND = 4.0
GRID = 7


@dataclass(frozen=True, slots=True)
class Looks:
    """What can be seen of a face.

    Attributes
    ----------
    sharpness : float
        In percent; see `sharpness`.
    noise : float
        In gray levels; see `noise`.
    contrast : float
        Standard deviation of gray levels.
    covered : tuple of str
        Those of `PARTS` that something covers.
    upside_down : bool
        Whether the face may stand on its head: one in a hundred upright ones seems to.
    """

    sharpness: float
    noise: float
    contrast: float
    covered: tuple[str, ...] = ()
    upside_down: bool = False

    @property
    def noise_share(self) -> float:
        """The part of `bend`, in [0, 1], that noise makes up: low for the skin of a sharp face, however fine."""
        return float(noise_share(self.sharpness, self.noise, self.contrast))

    @classmethod
    def of(cls, crop: ImageArray, alignment: Alignment) -> Looks:
        """Of a crop that was cut by an alignment: RGB uint8 (H, W, 3)."""
        seen = standard_crop(crop, alignment)
        grain, depth, told = noise(seen), contrast(seen), _told(seen)
        parts = tuple(part for part in PARTS if part in told)
        return cls(sharpness(seen, grain, depth), grain, depth, parts, UPSIDE_DOWN in told)


def standard_crop(crop: ImageArray, alignment: Alignment) -> ImageArray:
    """The face as `face-112x112` shows it, (112, 112, 3), so that measures of any weights' crops compare."""
    standard = FACE_112X112
    if alignment.landmarks == standard.landmarks and crop.shape[:2] == (standard.height, standard.width):
        return crop
    matrix = similarity_transform(alignment.landmarks, standard.landmarks)
    return np.asarray(cv2.warpAffine(crop, matrix, (standard.width, standard.height), flags=cv2.INTER_AREA), np.uint8)


def contrast(crop: ImageArray) -> float:
    """The standard deviation of gray levels in the central half of a standard crop."""
    return float(_central(crop).std())


def noise(crop: ImageArray) -> float:
    """The standard deviation of noise in gray levels, in a standard crop reduced to half its size.

    After J. Immerkær, *Fast noise variance estimation*, 1996, who takes the mean of this filter over the picture; its
    smoothest fifth is less led astray by hair and wrinkles. At half the size, since a crop is often enlarged, and its
    noise smoothed.
    """
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    half = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = np.abs(cv2.filter2D(half, cv2.CV_32F, _NOISE)[1:-1, 1:-1])
    return float(np.quantile(found, _SMOOTH)) / _SMOOTH_OF_ONE


def bend(crop: ImageArray) -> float:
    """The least variance of second differences of gray levels along four directions.

    Of the central half of a standard crop. The least, since motion blurs in one direction only. After Pech-Pacheco et
    al., *Diatom autofocusing in brightfield microscopy*, 2000, who take the variance of the Laplacian.
    """
    gray = _central(crop)
    # Without the rim, where the kernels reach beyond it.
    return min(float(cv2.filter2D(gray, cv2.CV_32F, kernel)[1:-1, 1:-1].var()) for kernel in _DIFFERENCES)


def sharpness(crop: ImageArray, noise: float, contrast: float) -> float:
    """`bend` without what noise adds to it, in percent of the variance of gray levels: the same in any light."""
    return 100 * max(bend(crop) - _NOISE_IN_BEND * noise**2, 0.0) / contrast**2 if contrast else 0.0


def noise_share(sharpness: ArrayLike, noise: ArrayLike, contrast: ArrayLike) -> NDArray[Any]:
    """`Looks.noise_share` of many faces."""
    sharpness, noise, contrast = map(np.asarray, (sharpness, noise, contrast))
    of_noise, rest = _NOISE_IN_BEND * noise**2, sharpness / 100 * contrast**2
    return np.asarray(of_noise / np.maximum(of_noise + rest, 1e-9))


def _central(crop: ImageArray) -> Floats:
    height, width = crop.shape[:2]
    center = crop[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return cv2.cvtColor(center, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _told(crop: ImageArray) -> set[str]:
    """Those of `PARTS` that something covers in a standard crop, such as a mask or sunglasses; and UPSIDE_DOWN.

    A logistic regression for each, fitted by `benchmarks/occlusion.py` to crops with drawn masks, hands and sunglasses,
    and to faces found in photographs turned by 180 degrees. `benchmarks/results/occlusion.json` holds how many.
    """
    features = cover_features([crop])[0]
    return {name for name, (weights, offset) in _fitted().items() if float(features @ weights) + offset > 0}


def cover_features(crops: Sequence[ImageArray]) -> Floats:
    """Color and contrast in the cells of a grid over each standard crop, relative to the crop: (n, 6 * GRID²)."""
    return np.stack([_cells(crop) for crop in crops])


def _cells(crop: ImageArray) -> Floats:
    # Of floats, since OpenCV makes tables for the first conversion of bytes: a tenth of a second. The same scale.
    lab = np.asarray(cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    light = lab[..., 0] = 2.55 * lab[..., 0]
    mean = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA)
    square = cv2.resize(light**2, (GRID, GRID), interpolation=cv2.INTER_AREA)
    contrast = np.sqrt(np.maximum(square - mean[..., 0] ** 2, 0))
    relative = mean - mean.mean((0, 1))
    color = relative[..., 1:] / 10
    parts = (relative[..., 0] / max(float(light.std()), 5.0), np.log1p(contrast), color, np.abs(color))
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


@functools.cache
def _fitted() -> dict[str, tuple[Floats, float]]:
    """For each name: weights of the features, and the offset above which it is told."""
    record: dict[str, Any] = json.loads(resources.files("facever.faces").joinpath("looks.json").read_text())
    return {name: (np.array(each["weights"], np.float32), each["offset"]) for name, each in record.items()}
