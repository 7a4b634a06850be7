"""Photographs degraded on purpose, before a face is looked for in them.

An image is uint8 (H, W, 3), RGB; its face lies in its pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from facever.datasets.occlusion import Occlusion
from facever.faces.alignment import align, similarity_transform
from facever.faces.face import Face
from facever.faces.images import ImageArray
from facever.studies.degradations import dimmed, through_jpeg, with_noise
from facever.weights.alignment import FACE_112X112

Change = Callable[[ImageArray, Face, np.random.Generator], ImageArray]

# Where masks and sunglasses are drawn: a mask reaches below what a crop shows.
CANVAS = FACE_112X112.padded(56)


@dataclass(frozen=True, slots=True)
class Condition:
    """A degradation.

    Attributes
    ----------
    name : str
    change : callable
        From an image, its face and a generator to the degraded image.
    cut : bool
        Whether a part of the picture is gone, so that its middle is no longer where the face is.
    """

    name: str
    change: Change
    cut: bool = False


def untouched(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
    return image


def compressed(quality: int) -> Change:
    """JPEG of a quality from 0 to 100, as libjpeg counts."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        return through_jpeg(image, quality)

    return change


def eye_distance(face: Face) -> float:
    return float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))


def blurred(share: float) -> Change:
    """Gaussian blur, its standard deviation as a share of the distance of the eyes."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), share * eye_distance(face)), np.uint8)

    return change


def shaken(share: float) -> Change:
    """Motion blur along a line of this share of the distance of the eyes, in any direction."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        length = max(2, round(share * eye_distance(face)))
        kernel, middle, angle = np.zeros((length, length), np.float32), (length - 1) / 2, generator.uniform(0, np.pi)
        for t in np.linspace(-middle, middle, 4 * length):
            kernel[round(middle + t * np.sin(angle)), round(middle + t * np.cos(angle))] = 1
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)

    return change


def noisy(deviation: float) -> Change:
    """White noise of this standard deviation in gray levels."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        return with_noise(image, deviation, generator)

    return change


def scaled(share: float) -> Change:
    """The picture scaled down to this fraction of both sides, by averaging."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        height, width = (max(1, round(side * share)) for side in image.shape[:2])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    return change


def shrunk(size: float) -> Change:
    """The picture scaled down until the face has so many pixels."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        scale = min(1.0, size / face.size)
        return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

    return change


def lit(share: float) -> Change:
    """So many times the light."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        return dimmed(image, share)

    return change


def turned(degrees: float) -> Change:
    """The picture turned around its middle, to either side, in a frame that holds all of it."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        angle = degrees * generator.choice((-1, 1))
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        cos, sin = np.abs(matrix[0, :2]).round(9)
        size = (round(width * cos + height * sin), round(width * sin + height * cos))
        matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
        return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    return change


def gray(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def covered(mask_share: float, glasses_share: float) -> Change:
    """Masks and hands, or sunglasses, of `facever.datasets.occlusion`, drawn by the landmarks."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        x = torch.from_numpy(align(image, face.landmarks, CANVAS)).permute(2, 0, 1)[None].float()
        draws = torch.Generator().manual_seed(int(generator.integers(1 << 62)))
        for shape, filled in Occlusion(CANVAS, mask_share, glasses_share).covers(x, draws):
            inside = _onto(shape[0].float().numpy(), image, face)[..., None]
            colors = _onto(filled[0].permute(1, 2, 0).numpy(), image, face)
            image = np.asarray(np.round(inside * colors + (1 - inside) * image), np.uint8)
        return image

    return change


def _onto(canvas: NDArray[np.float32], image: ImageArray, face: Face) -> NDArray[np.float32]:
    """What was drawn on the canvas, in the pixels of the image."""
    transform = similarity_transform(face.landmarks, CANVAS.landmarks)
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(canvas, transform, size, flags=flags), np.float32)


def cut(side: str) -> Change:
    """Without what is below the nose ("lower"), or right of it in the picture ("right")."""

    def change(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
        x, y = np.clip(np.round(face.landmarks[2]).astype(int), 1, (image.shape[1], image.shape[0]))
        return np.ascontiguousarray(image[:y] if side == "lower" else image[:, :x])

    return change


def either_half(image: ImageArray, face: Face, generator: np.random.Generator) -> ImageArray:
    """What is left, or right, of the nose."""
    x = int(face.landmarks[2, 0])
    return np.ascontiguousarray(image[:, :x] if generator.random() < 0.5 else image[:, x:])


@functools.cache
def conditions() -> dict[str, Condition]:
    """Those of the study of robustness by name, the first one untouched."""
    listed = [
        Condition("untouched", untouched),
        *(Condition(f"JPEG, quality {quality}", compressed(quality)) for quality in (90, 70, 50, 30, 20, 10)),
        *(Condition(f"blur, {share:g} of the eyes' distance", blurred(share)) for share in (0.03, 0.06, 0.12, 0.2)),
        *(Condition(f"noise, {levels} gray levels", noisy(levels)) for levels in (10, 20, 40)),
        Condition("half the size", scaled(1 / 2)),
        Condition("a quarter of the size", scaled(1 / 4)),
        Condition("an eighth of the size", scaled(1 / 8)),
        Condition("half the light", lit(0.5)),
        Condition("a quarter of the light", lit(0.25)),
        Condition("a tenth of the light", lit(0.1)),
        Condition("twice the light", lit(2.0)),
        *(Condition(f"turned by {degrees}°", turned(degrees)) for degrees in (10, 20, 45, 90, 180)),
        Condition("gray", gray),
        Condition("sunglasses", covered(0.0, 1.0)),
        Condition("mask or hand", covered(1.0, 0.0)),
        Condition("lower half cut off", cut("lower"), cut=True),
        Condition("right half cut off", cut("right"), cut=True),
    ]
    return {condition.name: condition for condition in listed}
