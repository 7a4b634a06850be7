"""From a photograph and landmarks to an aligned crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.errors import AlignmentError
from facever.faces.images import ImageArray
from facever.weights.alignment import Alignment

FloatArray = NDArray[np.float64]


def similarity_transform(source: Sequence[Any] | NDArray[Any], target: Sequence[Any] | NDArray[Any]) -> FloatArray:
    """The similarity transform that maps `source` to `target` with the least squared error.

    S. Umeyama, *Least-squares estimation of transformation parameters between two point patterns*, 1991, eq. 40 to 42.

    Parameters
    ----------
    source, target : array_like of shape (n, 2), n >= 2

    Returns
    -------
    float64 ndarray of shape (2, 3)
        [sR | t], so that target ~ s R source + t; R is a rotation, never a mirror.

    Raises
    ------
    AlignmentError
        If the points are not finite, all equal, or collinear.

    Examples
    --------
    Twice as large, and moved by (3, 1):

    >>> (similarity_transform([[0, 0], [1, 0], [0, 1]], [[3, 1], [5, 1], [3, 3]]).round(6) + 0).tolist()
    [[2.0, 0.0, 3.0], [0.0, 2.0, 1.0]]
    """
    p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if p.shape != q.shape or p.ndim != 2 or p.shape[1] != 2 or len(p) < 2:
        raise ValueError(f"two arrays of shape (n, 2) are needed, not {p.shape} and {q.shape}")
    if not np.isfinite(p).all():
        raise AlignmentError("the landmarks are not finite numbers")
    p_mean, q_mean = p.mean(axis=0), q.mean(axis=0)
    p0, q0 = p - p_mean, q - q_mean
    spread = np.linalg.svd(p0, compute_uv=False)  # along and across the line that fits best
    if spread[0] < 1e-6:
        raise AlignmentError("the landmarks are all the same point")
    if len(p) > 2 and spread[1] < 1e-2 * spread[0]:
        raise AlignmentError("the landmarks lie on one line")

    covariance = q0.T @ p0 / len(p)  # (2, 2)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / (p0**2).sum(axis=1).mean()
    translation = q_mean - scale * rotation @ p_mean
    return np.hstack([scale * rotation, translation[:, None]])


def align(image: ImageArray, landmarks: NDArray[Any], alignment: Alignment) -> ImageArray:
    """Align a face: crop it so that its landmarks fall on the template's.

    Parameters
    ----------
    image : uint8 ndarray of shape (H, W, 3), RGB
    landmarks : ndarray of shape (5, 2), in pixels of the image

    Returns
    -------
    uint8 ndarray of shape (alignment.height, alignment.width, 3), RGB

    Raises
    ------
    AlignmentError
        If the landmarks are degenerate.
    """
    return _warp(image, similarity_transform(landmarks, alignment.landmarks), alignment)


def enlargement(landmarks: NDArray[Any], alignment: Alignment) -> float:
    """Pixels of the crop for one of the image, in each direction: above 1 it is blurred. Raises AlignmentError."""
    transform = similarity_transform(landmarks, alignment.landmarks)
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def center_crop(image: ImageArray, alignment: Alignment) -> ImageArray:
    """The crop for a photograph without a detected face: its center.

    Assumes eyes 0.17 of the shorter side apart, as in LFW, where every photograph is centered on its face.
    """
    height, width = image.shape[:2]
    template = np.asarray(alignment.landmarks)
    scale = (template[1, 0] - template[0, 0]) / (0.17 * min(height, width))
    shift = template.mean(axis=0) - scale * np.array([(width - 1) / 2, (height - 1) / 2])
    return _warp(image, np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]), alignment)


def _warp(image: ImageArray, transform: FloatArray, alignment: Alignment) -> ImageArray:
    # Average a large face down first: bilinear sampling alone would skip pixels (aliasing).
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    shrink = int(0.75 / scale)
    if shrink > 1:
        image, transform = _averaged_down(image, transform, alignment, shrink)
    border = cv2.BORDER_CONSTANT if alignment.fill == "black" else cv2.BORDER_REPLICATE
    size = (alignment.width, alignment.height)
    crop = cv2.warpAffine(image, transform, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(0, 0, 0))
    return np.asarray(crop, np.uint8)


def _averaged_down(
    image: ImageArray, transform: FloatArray, alignment: Alignment, shrink: int
) -> tuple[ImageArray, FloatArray]:
    """The part of the image that the crop shows, `shrink` times smaller, and the transform from there."""
    inverse = cv2.invertAffineTransform(transform)
    x, y = alignment.width - 1, alignment.height - 1
    corners = np.array([[0, 0, 1], [x, 0, 1], [0, y, 1], [x, y, 1]]) @ inverse.T  # (4, 2) in the image
    # Whole cells of one grid over the image, so that a padded crop contains the unpadded one.
    cells = np.maximum(1, np.array(image.shape[1::-1]) // shrink)
    low = np.clip(np.floor(corners.min(axis=0) / shrink).astype(int) - 2, 0, cells - 1)
    high = np.clip(np.ceil(corners.max(axis=0) / shrink).astype(int) + 2, low + 1, cells)
    part = image[low[1] * shrink : high[1] * shrink, low[0] * shrink : high[0] * shrink]
    small = cv2.resize(part, (int(high[0] - low[0]), int(high[1] - low[1])), interpolation=cv2.INTER_AREA)
    # Between pixel centers: x_image = shrink * (x_small + low + 1/2) - 1/2.
    offset = shrink * (low + 0.5) - 0.5
    back = np.array([[shrink, 0, offset[0]], [0, shrink, offset[1]], [0, 0, 1]])
    return np.asarray(small, np.uint8), transform @ back
