"""JPEG: what is decoded of large ones, and hostile ones refused."""

from __future__ import annotations

import math
from typing import BinaryIO

from PIL import Image, JpegImagePlugin

from facever.errors import ImageError
from facever.faces.formats import decodable_formats

MAX_JPEG_PIXELS = 400_000_000
"""A JPEG may have so many by its header, if it can be decoded at a reduced size within the limit on what
is decoded. A progressive one keeps all its coefficients in memory: Pillow's own limit holds for it."""

# A JPEG is decoded scan by scan; a progressive one has some ten.
MAX_SCANS = 100
MAX_SCANNED = 2_000_000_000  # pixels, of all scans
JPEG = ("JPEG", "MPO")
END = b"\xff\xd9"
_START = b"\xff\xd8\xff"
# Even a blank JPEG takes a bit for each 8x8 block.
_PIXELS_A_BYTE = 512


def opened(file: BinaryIO) -> Image.Image:
    """Read the header. A JPEG of more pixels than Pillow opens is opened too: it may be decoded at a reduced size."""
    try:
        return Image.open(file, formats=decodable_formats())
    except Image.DecompressionBombError:
        file.seek(0)
        if file.read(3) != _START:
            raise
        file.seek(0)
        picture = JpegImagePlugin.JpegImageFile(file)
        if picture.width * picture.height > MAX_JPEG_PIXELS or "progressive" in picture.info:
            raise
        return picture


def reduce(picture: Image.Image, max_pixels: int, needed: int | None, whole: bool = False) -> None:
    """Have a JPEG decoded at a half, a quarter or an eighth, as far as `needed` pixels of its shorter side allow.

    Smaller, where it would else exceed `max_pixels`; not at all if it is asked for as a whole.
    """
    width, height = picture.size
    if picture.format not in JPEG or whole:
        return
    enough = 1 if needed is None else min(width, height) // needed
    allowed = math.sqrt(width * height / max_pixels)
    times = next((times for times in (1, 2, 4, 8) if times >= allowed), 8)
    times = max(times, *(each for each in (1, 2, 4, 8) if each <= max(enough, 1)), 1)
    if times > 1:
        picture.draft(None, (width // times, height // times))


def check_jpeg(file: BinaryIO, pixels: int, name: str) -> None:
    """Refuse a JPEG that would take minutes, or whose decoder would make up most of the pixels."""
    where = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(where)
    scans = content.count(b"\xff\xda")
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
        raise ImageError(name, f"a JPEG of {scans} scans, which would take minutes; save it as a baseline JPEG")
    if len(content) * _PIXELS_A_BYTE < pixels:
        raise ImageError(name, f"damaged or cut off ({len(content):,} bytes for {pixels:,} pixels); copy it again")
