"""What can be seen of a face in its aligned crop: how sharp it is, and whether a part of it is covered."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.faces.alignment import similarity_transform
from facever.faces.images import ImageArray
from facever.weights.alignment import FACE_112X112, Alignment

Floats = NDArray[np.float32]

PARTS = ("lower face", "eye region")
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
GRID = 7


def standard_crop(crop: ImageArray, alignment: Alignment) -> ImageArray:
    """The face as `face-112x112` shows it, (112, 112, 3), so that measures of any weights' crops compare."""
    standard = FACE_112X112
    if alignment.landmarks == standard.landmarks and crop.shape[:2] == (standard.height, standard.width):
        return crop
    matrix = similarity_transform(alignment.landmarks, standard.landmarks)
    return np.asarray(cv2.warpAffine(crop, matrix, (standard.width, standard.height), flags=cv2.INTER_AREA), np.uint8)


def sharpness(crop: ImageArray) -> float:
    """The least variance of second differences, in gray levels, along four directions.

    Of the central half of a standard crop. The least, since motion blurs in one direction only. After Pech-Pacheco et
    al., *Diatom autofocusing in brightfield microscopy*, 2000, who take the variance of the Laplacian.
    """
    height, width = crop.shape[:2]
    center = crop[height // 4 : height - height // 4, width // 4 : width - width // 4]
    gray = cv2.cvtColor(center, cv2.COLOR_RGB2GRAY)
    # Without the rim, where the kernels reach beyond it.
    return min(float(cv2.filter2D(gray, cv2.CV_32F, kernel)[1:-1, 1:-1].var()) for kernel in _DIFFERENCES)


def covered_parts(crop: ImageArray) -> tuple[str, ...]:
    """Those of `PARTS` that something covers in a standard crop, such as a mask or sunglasses.

    A logistic regression for each part, fitted by `benchmarks/occlusion.py` to crops with drawn masks, hands and
    sunglasses; how many it finds is in `benchmarks/results/occlusion.json`.
    """
    features = cover_features([crop])[0]
    found = _fitted()
    return tuple(part for part in PARTS if float(features @ found[part][0]) + found[part][1] > 0)


def cover_features(crops: Sequence[ImageArray]) -> Floats:
    """Color and contrast in the cells of a grid over each standard crop, relative to the crop: (n, 6 * GRID²)."""
    return np.stack([_cells(crop) for crop in crops])


def _cells(crop: ImageArray) -> Floats:
    # Of floats, since OpenCV makes tables for the first conversion of bytes: a tenth of a second. The same scale.
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 0] *= 2.55
    light = lab[..., 0]
    mean = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA)
    square = cv2.resize(light**2, (GRID, GRID), interpolation=cv2.INTER_AREA)
    contrast = np.sqrt(np.maximum(square - mean[..., 0] ** 2, 0))
    relative = mean - mean.mean((0, 1))
    color = relative[..., 1:] / 10
    parts = (relative[..., 0] / max(float(light.std()), 5.0), np.log1p(contrast), color, np.abs(color))
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


@functools.cache
def _fitted() -> dict[str, tuple[Floats, float]]:
    """For each part: weights of the features, and the offset above which it counts as covered."""
    record: dict[str, Any] = json.loads(resources.files("facever.faces").joinpath("covered.json").read_text())
    return {part: (np.array(record[part]["weights"], np.float32), record[part]["offset"]) for part in PARTS}
