"""Alignment templates: the record in a weights file, and those with a name."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

FILLS = ("black", "edge")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the five landmarks fall in a crop, its size, and its fill outside the photograph.

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
        """The same alignment with `margin` more pixels on every side.

        Its crops contain the unpadded ones in their middle, up to rounding by one gray level.
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


# Median position of MTCNN's landmarks in the chips that dlib cuts (600 photographs). It makes dlib's network usable
# without dlib's detector and landmarks.
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

# InsightFace's template, for square crops of 112 pixels: the same face with 8 more columns on either side.
FACE_112X112 = replace(
    FACE_112X96, name="face-112x112", width=112, landmarks=tuple((x + 8, y) for x, y in FACE_112X96.landmarks)
)


def window(alignment: Alignment, name: str, share: float, down: float, height: int, width: int) -> Alignment:
    """A tighter crop of the same face.

    Parameters
    ----------
    share : float
        Width of the window as a share of the crop's width.
    down : float
        How far below the crop's center the window's center lies, in pixels of the crop.
    height, width : int
        Size to which the window is scaled, in pixels.
    """
    scale = width / (share * alignment.width)
    left = alignment.width * (1 - share) / 2
    top = alignment.height / 2 + down - height / scale / 2
    landmarks = tuple(((x - left) * scale, (y - top) * scale) for x, y in alignment.landmarks)
    return Alignment(name, height, width, landmarks, alignment.fill)


# Below the hairline: photographs that end just above the brows show little fill. See models/scratch.md.
TIGHT_64X56 = window(DLIB_150, "tight-64x56", share=2 / 3, down=6.0, height=64, width=56)

# dlib's template, a little tighter and lower: dlib's network separates tightly cut photographs better this way, and
# the others no worse (see records/dlib-twin/card.md). The recipe `dlib-twin` uses it.
CLOSE_150 = window(DLIB_150, "close-150x150", share=0.97, down=3.0, height=150, width=150)

# For the distilled Face-ResNet: tight as well, at a higher resolution.
NEAR_80 = window(DLIB_150, "near-80x80", share=0.8, down=3.0, height=80, width=80)

ALIGNMENTS = {a.name: a for a in (DLIB_150, CLOSE_150, FACE_112X96, FACE_112X112, NEAR_80, TIGHT_64X56)}
