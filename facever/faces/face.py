"""A detected face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facever.faces.boxes import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face, in pixels of the upright photograph.

    Attributes
    ----------
    box : float32 ndarray of shape (4,)
        x0, y0, x1, y1; may reach beyond the photograph.
    landmarks : float32 ndarray of shape (5, 2)
        (x, y) of left eye, right eye, nose, left and right corner of the mouth, as seen in the image.
    score : float
        The detector's probability of a face, in [0, 1].
    """

    box: FloatArray
    landmarks: FloatArray
    score: float

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    @property
    def size(self) -> float:
        """The square root of the box's area, in pixels."""
        return max(self.area, 0.0) ** 0.5

    def moved(self, offset: float, scale: float) -> Face:
        """The same face after `(x - offset) / scale` in both directions."""
        return Face((self.box - offset) / scale, (self.landmarks - offset) / scale, self.score)

    def turned_back(self, quarters: int, shape: tuple[int, ...]) -> Face:
        """The same face in the picture (H, W) of which this one's is `np.rot90` by so many quarters."""
        right, bottom = shape[1] - 1, shape[0] - 1

        def back(points: FloatArray) -> FloatArray:  # (n, 2)
            x, y = points[:, 0], points[:, 1]
            turned = {1: (right - y, x), 2: (right - x, bottom - y), 3: (y, bottom - x)}[quarters]
            return np.stack(turned, axis=1).astype(np.float32)

        corners = back(self.box.reshape(2, 2))
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        return Face(box, back(self.landmarks), self.score)

    def enlarged(self, times: int) -> Face:
        """The same face in the picture that this one is a reduction of; centers of pixels fall on centers of cells."""
        return self if times == 1 else self.moved((1 - times) / (2 * times), 1 / times)
