"""Boxes (n, 4) of the detector: x0, y0, x1, y1 in pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def regressed(boxes: FloatArray, offsets: FloatArray, extra: float) -> FloatArray:
    """Boxes (n, 4) shifted by a network's offsets (n, 4), in units of the box's sides."""
    side = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + offsets * np.concatenate([side, side], axis=1)


def squared(boxes: FloatArray) -> FloatArray:
    """The square of each box's longer side around the box's center. (n, 4)"""
    side = boxes[:, 2:] - boxes[:, :2]
    longest = side.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + (side - longest) / 2
    return np.concatenate([corner, corner + longest], axis=1)


def suppressed(boxes: FloatArray, scores: FloatArray, overlap: float, of_smaller: bool = False) -> NDArray[np.int64]:
    """Indices of the boxes that remain, by descending score: non-maximum suppression.

    `overlap` is a share of the union, or of the smaller box.
    """
    if of_smaller:
        return _suppressed_by_smaller(boxes, scores, overlap)
    sized: Any = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(sized, scores, 0.0, overlap)  # type: ignore[arg-type]  # arrays, too
    return np.asarray(kept, np.int64).reshape(-1)


def _suppressed_by_smaller(boxes: FloatArray, scores: FloatArray, overlap: float) -> NDArray[np.int64]:
    area = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        low, high = np.maximum(boxes[first, :2], boxes[left, :2]), np.minimum(boxes[first, 2:], boxes[left, 2:])
        common = np.prod(np.clip(high - low + 1, 0, None), axis=1)
        left = left[common / np.minimum(area[first], area[left]) <= overlap]
    return np.array(kept, np.int64)
