"""What a photograph's file says without being decoded: how its pixels are stored, and its XMP."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from facever.errors import ImageError
from facever.faces.formats import unidentified_cause
from facever.faces.images import damage_named, open_photograph, orientation_of
from facever.faces.jpeg import JPEG, opened
from facever.faces.quiet import quiet_pillow

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_WIDTH, _HEIGHT = 256, 257  # TIFF


class Header(NamedTuple):
    """How a photograph is stored.

    Attributes
    ----------
    width, height : int
        Of the stored pixels, before they are turned upright.
    orientation : int
        By EXIF, 1 … 8; 1 is upright.
    xmp : bytes or None
        The packet in a JPEG.
    """

    width: int
    height: int
    orientation: int = 1
    xmp: bytes | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright photograph."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(path: Path) -> Header:
    """Read the header of a photograph. Raises ImageError if it can't be read."""
    name = str(path)
    with open_photograph(path, name) as file:
        try:
            with damage_named(name), quiet_pillow, opened(file) as picture:
                width, height = picture.size
                if picture.format == "TIFF":  # Pillow may tell the upright size
                    width, height = (int(picture.tag_v2[tag]) for tag in (_WIDTH, _HEIGHT))  # type: ignore[attr-defined]
                return Header(width, height, orientation_of(picture), _packet(picture))
        except Image.DecompressionBombError as error:
            raise ImageError(name, "too large; scale it down first") from error
        except UnidentifiedImageError as error:
            file.seek(0)
            raise ImageError(name, unidentified_cause(file.read(12))) from error


def _packet(picture: Image.Image) -> bytes | None:
    if picture.format not in JPEG:
        return None
    segments = [content for name, content in picture.applist if name == "APP1"]  # type: ignore[attr-defined]
    return next((content.removeprefix(_XMP) for content in segments if content.startswith(_XMP)), None)
