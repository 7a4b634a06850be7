"""Boxes (n, 4) of the detector: x0, y0, x1, y1 in pixels."""

from __future__ import annotations

import numpy as np
import torch
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
        from facenet_pytorch.models.utils.detect_face import nms_numpy

        return np.asarray(nms_numpy(boxes, scores, overlap, "Min"), np.int64).reshape(-1)
    from torchvision.ops import nms

    return np.asarray(nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap).numpy(), np.int64)
