"""From landmarks to a crop: one template, one transform, one crop function for training and for inference.

Which template a network was trained with travels in its weights file as an `Alignment`; nobody else keeps a copy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.errors import AlignmentError

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.uint8]

FILLS = ("black", "edge")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the five landmarks fall in a crop, how large it is, and what stands outside the photograph.

    Attributes
    ----------
    name : str
    height, width : int
        Size of the crop in pixels.
    landmarks : five (x, y) pairs
        Left eye, right eye, nose, left and right corner of the mouth, in pixels of the crop.
    fill : {"black", "edge"}
        Pixels outside the photograph: zero, or those of its nearest edge.
    """

    name: str
    height: int
    width: int
    landmarks: tuple[tuple[float, float], ...]
    fill: str = "black"

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise ValueError(f"fill is one of {', '.join(FILLS)}, not {self.fill!r}")
        if len(self.landmarks) != 5 or any(len(point) != 2 for point in self.landmarks):
            raise ValueError("an alignment has five landmarks of two coordinates")
        if not all(math.isfinite(each) for point in self.landmarks for each in point):
            raise ValueError("the landmarks of an alignment must be finite numbers")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a crop of {self.height}x{self.width} pixels has no pixels")

    def padded(self, margin: int) -> Alignment:
        """The same alignment with `margin` more pixels of the photograph on every side.

        Its crops hold those of the unpadded one in their middle, but for rounding (one grey level here and there).
        """
        landmarks = tuple((x + margin, y + margin) for x, y in self.landmarks)
        return replace(
            self,
            name=f"{self.name}+{margin}",
            height=self.height + 2 * margin,
            width=self.width + 2 * margin,
            landmarks=landmarks,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Alignment:
        """The alignment of a weights file. Raises KeyError, TypeError or ValueError for anything else."""
        landmarks = tuple((float(x), float(y)) for x, y in fields["landmarks"])
        name, height, width = str(fields["name"]), int(fields["height"]), int(fields["width"])
        return cls(name, height, width, landmarks, str(fields["fill"]))


# The median of where MTCNN's landmarks fall in the chips that dlib itself cuts (600 photographs): it makes dlib's
# network usable without dlib's own detector and its landmarks.
DLIB_150 = Alignment(
    "dlib-150x150", 150, 150, ((48.6, 46.7), (102.5, 46.7), (75.3, 78.9), (51.7, 105.9), (99.0, 106.2))
)

# The template of the center-loss and SphereFace code, which the field uses for crops of 112x96.
FACE_112X96 = Alignment(
    "face-112x96",
    112,
    96,
    ((30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)),
)


def window(alignment: Alignment, name: str, share: float, down: float, height: int, width: int) -> Alignment:
    """A tighter look at the same face.

    Parameters
    ----------
    share : float
        Width of the window as a share of the crop's width.
    down : float
        How far below the crop's centre the window's centre lies, in pixels of the crop.
    height, width : int
        Size to which the window is scaled, in pixels.
    """
    scale = width / (share * alignment.width)
    left = alignment.width * (1 - share) / 2
    top = alignment.height / 2 + down - height / scale / 2
    landmarks = tuple(((x - left) * scale, (y - top) * scale) for x, y in alignment.landmarks)
    return Alignment(name, height, width, landmarks, alignment.fill)


# Cut below the hairline, so that photographs that end just above the brows show little fill. See models/scratch.md.
TIGHT_64X56 = window(DLIB_150, "tight-64x56", share=2 / 3, down=6.0, height=64, width=56)

# dlib's template a little nearer and lower. dlib's network, unchanged, tells the tightly cut photographs apart better
# so, and the others no worse (see models/default.md): it is where training on begins.
CLOSE_150 = window(DLIB_150, "close-150x150", share=0.97, down=3.0, height=150, width=150)

# For the Face-ResNet that learns from a teacher: tight as well, and finer.
NEAR_80 = window(DLIB_150, "near-80x80", share=0.8, down=3.0, height=80, width=80)

ALIGNMENTS = {a.name: a for a in (DLIB_150, CLOSE_150, FACE_112X96, NEAR_80, TIGHT_64X56)}


def similarity_transform(source: Sequence[Any] | NDArray[Any], target: Sequence[Any] | NDArray[Any]) -> FloatArray:
    """The similarity that brings `source` nearest to `target` in the least-squares sense.

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
        If the points are not finite, all equal, or all on one line: then no transform can be trusted.
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
    """Cut the face with these landmarks out of a photograph, upright and in place.

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


def centre_crop(image: ImageArray, alignment: Alignment) -> ImageArray:
    """What stands in for a face where none was found: the middle of the photograph.

    The eyes are taken to be 0.17 of the shorter side apart, as they are in LFW, where every photograph is centred on
    its face.
    """
    height, width = image.shape[:2]
    template = np.asarray(alignment.landmarks)
    scale = (template[1, 0] - template[0, 0]) / (0.17 * min(height, width))
    shift = template.mean(axis=0) - scale * np.array([(width - 1) / 2, (height - 1) / 2])
    return _warp(image, np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]), alignment)


def _warp(image: ImageArray, transform: FloatArray, alignment: Alignment) -> ImageArray:
    # A large face is first averaged down, since bilinear sampling alone would skip pixels (aliasing).
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
    # Whole cells of one grid over the image, whichever part is cut: so a padded crop holds the unpadded one.
    cells = np.maximum(1, np.array(image.shape[1::-1]) // shrink)
    low = np.clip(np.floor(corners.min(axis=0) / shrink).astype(int) - 2, 0, cells - 1)
    high = np.clip(np.ceil(corners.max(axis=0) / shrink).astype(int) + 2, low + 1, cells)
    part = image[low[1] * shrink : high[1] * shrink, low[0] * shrink : high[0] * shrink]
    small = cv2.resize(part, (int(high[0] - low[0]), int(high[1] - low[1])), interpolation=cv2.INTER_AREA)
    # Between pixel centres: x_image = shrink * (x_small + low + 1/2) - 1/2.
    offset = shrink * (low + 0.5) - 0.5
    back = np.array([[shrink, 0, offset[0]], [0, shrink, offset[1]], [0, 0, 1]])
    return np.asarray(small, np.uint8), transform @ back
