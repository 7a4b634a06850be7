"""Decoded pictures of every kind to upright 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facever.errors import ImageError

FILL, MOST_MISSING = 128, 0.75
# Large pictures are converted piece by piece: several copies of one would take gigabytes.
_STRIP = 1 << 22  # pixels
_WHITES = (1023, 4095, 16383, 65535)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF


def to_rgb(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    """Convert a loaded picture of any Pillow mode into an array of shape (H, W, 3)."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = _reduce_to_8_bits(picture, name)
    if picture.width * picture.height <= _STRIP:
        return _piece_to_rgb(picture)
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for rows in _strips(*pixels.shape[:2]):
        pixels[rows] = _piece_to_rgb(picture.crop((0, rows.start, picture.width, rows.stop)))
    return pixels


def _strips(height: int, width: int) -> Iterator[slice]:
    """Slices of rows, of some `_STRIP` pixels each."""
    count = max(_STRIP // max(width, 1), 1)
    for start in range(0, height, count):
        yield slice(start, min(start + count, height))


def _piece_to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.has_transparency_data:
        return over_white(picture.convert("RGBA"))
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def over_white(picture: Image.Image) -> NDArray[np.uint8]:
    """Lay an RGBA picture over white; the color stored under transparent pixels is arbitrary."""
    canvas = Image.new("RGB", picture.size, "white")
    canvas.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(canvas)


def _reduce_to_8_bits(picture: Image.Image, name: str) -> Image.Image:
    """Scale grayscale of 16 bits (12 in some TIFFs) to 8; Pillow's own conversion clips at 255 instead."""
    levels = np.array(picture)  # (H, W), uint16 or int32
    tags = getattr(picture, "tag_v2", {})  # a TIFF's
    white = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
    if levels.min() < 0 or levels.max() > white:
        raise ImageError(name, "grayscale with 32 bits or signed; save it with 8 or 16 bits a channel")
    white = min(white, white_of(levels))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        np.subtract(white, levels, out=levels)
    if "transparency" in picture.info:
        levels[levels == picture.info["transparency"]] = white
    return Image.fromarray(scale_to_8_bits(levels, white))


def white_of(levels: NDArray[Any]) -> int:
    """White of 16-bit values: cameras store 10, 12 or 14 bits in them, and nearly black pictures would come of it."""
    return next(white for white in _WHITES if levels.max(initial=0) <= white)


def scale_to_8_bits(levels: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Map 0 … `white` to 0 … 255, rounded to the nearest; `white` is at most 65535."""
    scaled = np.empty(levels.shape, np.uint8)
    for rows in _strips(len(levels), levels[0].size if len(levels) else 0):
        scaled[rows] = (levels[rows].astype(np.uint32) * 255 + white // 2) // white
    return scaled


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation; returns a contiguous array of shape (H, W, 3), or (W, H, 3) for 5 … 8."""
    if orientation >= 5:  # the stored rows are the picture's columns
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def cut_off(pixels: NDArray[np.uint8], name: str) -> str:
    """What is missing of a JPEG whose end was cut off: its decoder leaves the rows that it never saw gray.

    Raises ImageError where little is left.
    """
    seen = np.flatnonzero((pixels != FILL).any((1, 2)))
    missing = 1 - (int(seen[-1]) + 1 if len(seen) else 0) / len(pixels)
    if missing > MOST_MISSING:
        raise ImageError(name, f"cut off ({missing:.0%} of it is missing); copy it again")
    return f"cut off: {missing:.0%} of it is missing" if missing else "cut off: its last bytes are missing"


def share_missing(pixels: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """The fraction of a box that a decoder never saw, in [0, 1]."""
    x0, y0, x1, y1 = (max(int(end), 0) for end in box)
    inside = pixels[y0 : y1 + 1, x0 : x1 + 1]
    return float((inside == FILL).all(2).mean()) if inside.size else 0.0


def check_shape(array: NDArray[Any], name: str) -> None:
    """Raise ImageError unless an array has the shape of a picture."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        cause = f"an array of shape {array.shape}; give (H, W) or (H, W, C) of 1, 3 or 4 channels, channels last"
        raise ImageError(name, cause)


def from_array(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """A copy of pixels as RGB, (H, W, 3); raises ImageError for a dtype that is not taken."""
    pixels = _array_to_8_bits(array, name)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 4:
        pixels = over_white(Image.fromarray(pixels))
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return np.array(pixels, order="C")


def _array_to_8_bits(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if (kind, size) == ("u", 1):
        return np.asarray(array)
    if (kind, size) == ("u", 2):
        return scale_to_8_bits(array, white_of(array))
    if kind == "b":
        return np.where(array, np.uint8(255), np.uint8(0))
    if kind == "f":
        remedy = "convert it, for values in 0 … 1 with (array * 255).round().astype('uint8')"
    else:
        remedy = "convert it, for values in 0 … 255 with array.astype('uint8')"
    raise ImageError(name, f"an array of dtype {array.dtype}; {remedy}")
