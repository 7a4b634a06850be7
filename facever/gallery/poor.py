"""Columns of faces as numbers, and the faces that are too poor to found a person."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from facever.faces.detection import CERTAIN
from facever.faces.doubts import (
    LEAST_CONTRAST,
    LEAST_SHARPNESS,
    LEAST_SIZE,
    MOST_NOISE,
    MOST_NOISE_SHARE,
    MOST_OUTSIDE,
)
from facever.faces.looks import noise_share
from facever.gallery.faces import FaceTable, RowNumbers


def column_of(faces: FaceTable, name: str, rows: RowNumbers) -> NDArray[Any]:
    """A column of numbers, NaN where it is unknown."""
    if name not in faces.columns:
        return np.full(len(rows), np.nan)
    return np.asarray(faces.column(name).to_numpy(zero_copy_only=False), np.float64)[rows]


def poor_faces(faces: FaceTable, rows: RowNumbers) -> NDArray[np.bool_]:
    """Faces that `facever verify` would give no answer for, whatever their norm.

    Low norms are left out: a fifth of old family photographs is below nearly all of the calibration, and is grouped as
    well as others.
    """
    poor = column_of(faces, "score", rows) < CERTAIN
    poor |= column_of(faces, "face_size", rows) < LEAST_SIZE
    sharpness, noise, contrast = (column_of(faces, name, rows) for name in ("sharpness", "noise", "contrast"))
    poor |= (sharpness < LEAST_SHARPNESS) | (contrast < LEAST_CONTRAST)
    poor |= (noise > MOST_NOISE) & (noise_share(sharpness, noise, contrast) > MOST_NOISE_SHARE)
    poor |= column_of(faces, "upside_down", rows) == 1
    if {"landmarks", "width", "height"} <= faces.columns:
        there = faces.column("landmarks").take(rows)
        points = np.full((len(rows), 10), np.nan)
        points[there.is_valid().to_numpy()] = pc.list_flatten(there).to_numpy().reshape(-1, 10)
        x, y = points[:, ::2], points[:, 1::2]
        width, height = (column_of(faces, side, rows)[:, None] for side in ("width", "height"))
        poor |= ((x < 0) | (x >= width) | (y < 0) | (y >= height)).sum(axis=1) > MOST_OUTSIDE
    return poor
