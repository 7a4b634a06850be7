"""A photograph at whole, half, quarter … size, from which the detector takes levels and patches at little cost."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.faces.images import ImageArray

# The cascade turns on a gray level: which of many windows on one face remains, and so its landmarks by a pixel. From 8
# pixels for one on, averages of averages give the same windows.
AVERAGED = 8


class Halvings:
    """RGB uint8 pictures (H, W, 3), each half as large as the one before, made when they are asked for.

    Averaging over areas takes time in proportion to the pixels that it reads; from a halving it reads a few for each
    that it writes.
    """

    def __init__(self, image: ImageArray) -> None:
        self.pictures = [image]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole photograph."""
        height, width = self.pictures[0].shape[:2]
        return height, width

    def _halved(self, times: int) -> ImageArray:
        while len(self.pictures) <= times:
            larger = self.pictures[-1]
            height, width = (side // 2 for side in larger.shape[:2])
            even = larger[: 2 * height, : 2 * width]  # an odd last row or column is left out: the grid stays exact
            half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
            self.pictures.append(np.asarray(half, np.uint8))
        return self.pictures[times]

    def reduced(self, height: int, width: int) -> ImageArray:
        """The photograph at a smaller size."""
        times = self._times(min(self.shape[0] / height, self.shape[1] / width))
        return np.asarray(cv2.resize(self._halved(times), (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def patch(self, box: NDArray[np.float32], size: int) -> tuple[ImageArray, NDArray[np.float32]] | None:
        """The part of a box that lies in the photograph, as (size, size, 3), and the box that it shows.

        A box much larger than the patch is moved to the grid of the halving that it is taken from, so that the patch
        shows the very box that is returned. None for a box that lies wholly outside.
        """
        times = self._times(float((box[2:] - box[:2]).min()) / size)
        picture, step = self._halved(times), 2**times
        # Boxes count pixels from 1, and the last one is inside, as in the code that the networks were trained with.
        if times:
            x0, y0, x1, y1 = np.round((box - (1, 1, 0, 0)) / step).astype(np.int64).tolist()
            box = np.array([x0 * step + 1, y0 * step + 1, x1 * step, y1 * step], np.float32)
        else:
            x0, y0, x1, y1 = (np.trunc(box).astype(np.int64) - (1, 1, 0, 0)).tolist()
        inside = picture[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if not inside.size:
            return None
        return np.asarray(cv2.resize(inside, (size, size), interpolation=cv2.INTER_AREA), np.uint8), box

    def _times(self, reduction: float) -> int:
        """How often to halve before a reduction: so that it still averages over `AVERAGED` pixels in each direction."""
        shortest = min(self.shape)
        times = 0
        while reduction >= 2 * AVERAGED and shortest >= 4:
            reduction, shortest, times = reduction / 2, shortest // 2, times + 1
        return times
