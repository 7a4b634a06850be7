"""Regions of a photograph with names: places as the Metadata Working Group states them, and the faces that they are of.

Source: Metadata Working Group, Guidelines for Handling Image Metadata, version 2.0, 2010, sections 5.4 and 5.9: an area
is given by its center, width and height as shares of the image *as stored*, before its EXIF orientation is applied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facever.faces.header import Header

# A region is of a face if each has the other's center inside, and they share so much of their union. Programs frame a
# face from chin to brows, or a whole head.
LEAST_OVERLAP = 0.1
# By EXIF orientation: whether the stored rows are the picture's columns, and which stored axes run backwards.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Area:
    """A place in the stored image: its center x, y and its size, as shares of the width and the height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def valid(self) -> bool:
        """Whether it is a place: finite, of a size, with its center in the image."""
        sides = (self.x, self.y, self.width, self.height)
        return all(math.isfinite(side) and 0 <= side <= 1 for side in sides) and self.width > 0 < self.height


def area_of(box: Sequence[float], header: Header) -> Area | None:
    """The place of a box in pixels of the upright photograph, cut at its sides; None for one outside.

    Examples
    --------
    A photograph of 400 x 300 pixels as stored, which is shown turned clockwise, 300 x 400:

    >>> area_of([0, 0, 30, 100], Header(400, 300, orientation=6))
    Area(x=0.125, y=0.95, width=0.25, height=0.1)
    """
    width, height = header.upright
    x0, x1 = (min(max(x / width, 0), 1) for x in (box[0], box[2]))
    y0, y1 = (min(max(y / height, 0), 1) for y in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        return None
    swapped, flipped_x, flipped_y = _TURNS[header.orientation]
    x, y, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    if swapped:
        x, y, w, h = y, x, h, w
    return Area(1 - x if flipped_x else x, 1 - y if flipped_y else y, w, h)


def box_of(area: Area, header: Header) -> Box:
    """A place as a box, x0, y0, x1, y1 in pixels of the upright photograph: the inverse of `area_of`."""
    swapped, flipped_x, flipped_y = _TURNS[header.orientation]
    x, y = 1 - area.x if flipped_x else area.x, 1 - area.y if flipped_y else area.y
    w, h = area.width, area.height
    if swapped:
        x, y, w, h = y, x, h, w
    width, height = header.upright
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def matched(boxes: Sequence[Sequence[float] | None], regions: Sequence[Box]) -> dict[int, int]:
    """For each box that a region is of: the region, by their indices; the pairs with the most overlap first."""
    found: dict[int, int] = {}
    pairs = [
        (overlap(box, region), i, j)
        for i, box in enumerate(boxes)
        if box is not None
        for j, region in enumerate(regions)
        if _holds(box, region) and _holds(region, box)
    ]
    for share, i, j in sorted(pairs, reverse=True):
        if share >= LEAST_OVERLAP and i not in found and j not in found.values():
            found[i] = j
    return found


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """The intersection of two boxes over their union, in [0, 1]."""
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common
    return common / union if union > 0 else 0.0


def _holds(box: Sequence[float], other: Sequence[float]) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
