"""Decoding: photographs in, upright RGB arrays out.

Whatever is wrong with a picture becomes an `ImageError` that names it: one broken file among ten thousand is a line in
a report. The number of pixels is read from the header and checked before memory is allocated.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from facever.errors import ImageError, reason_of
from facever.faces.formats import unidentified_cause
from facever.faces.jpeg import END, JPEG, check_jpeg, opened, reduce
from facever.faces.pixels import check_shape, cut_off, from_array, to_rgb, turn_upright
from facever.faces.quiet import muted_stderr, quiet_pillow
from facever.files import is_url

ImageArray = NDArray[np.uint8]
# What `load_image` takes.
ImageInput = str | Path | bytes | BinaryIO | Image.Image | NDArray[Any]

MAX_PIXELS = 80_000_000
"""The default limit on H · W: an RGB array of 240 MB, and below the size at which Pillow begins to warn."""

_ORIENTATION, _EXIF, _TIME_TAKEN = 0x0112, 0x8769, 0x9003  # EXIF

URL_CAUSE = "a URL, not a file; download it, and give the file"
_EMPTY = "the file is empty; copy or download it again"


class Photograph(NamedTuple):
    """A decoded photograph.

    Attributes
    ----------
    pixels : uint8 ndarray of shape (H, W, 3)
        RGB, upright, C-contiguous, perhaps read-only.
    taken : datetime or None
        The time by the camera's clock, where EXIF tells it.
    size : (int, int)
        Width and height of the whole photograph, upright.
    reduction : {1, 2, 4, 8}
        How many times smaller the pixels are.
    warning : str or None
        What is missing of a file that is cut off; gray (128) stands for its pixels.
    """

    pixels: ImageArray
    taken: datetime | None
    size: tuple[int, int]
    reduction: int = 1
    warning: str | None = None


def load_image(
    source: ImageInput,
    *,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Decode a photograph into an upright RGB array.

    Parameters
    ----------
    source : str, Path, bytes, binary file, Pillow image or ndarray
        A file's path, a file's content, a file open for reading from its present position, or pixels that are decoded
        already: a `PIL.Image.Image`, turned upright as its EXIF says, or an array of shape (H, W), (H, W, 1), (H, W, 3)
        in RGB order or (H, W, 4) in RGBA order, of dtype uint8, uint16 or bool, taken as upright.
    max_pixels : int
        The largest H · W that is accepted. Pillow's own limit, `2 * PIL.Image.MAX_IMAGE_PIXELS`, stays in
        force.
    name : str, optional
        What errors call the picture; the path, "<bytes>", "<file>", "<image>" or "<array>" if not given.

    Returns
    -------
    ndarray of shape (H, W, 3), dtype uint8
        RGB in 0 … 255, C-contiguous, writable and not shared with `source`. The EXIF orientation is applied,
        transparency is laid over white, grayscale is repeated in all three channels, 16 bits are scaled to 8
        (0 → 0, 65535 → 255; or 1023, 4095 or 16383 → 255, where no value exceeds that), and of an animation the first
        frame is taken. Color profiles are not applied.

    Raises
    ------
    ImageError
        For every picture that can't be read: missing, a folder, not permitted, empty, damaged or cut off, not
        a picture, in a format or pixel type that is not supported, or of more than `max_pixels` pixels.

    Examples
    --------
    >>> load_image(np.array([[0, 25700, 65535]], dtype=np.uint16))[0, :, 0].tolist()
    [0, 100, 255]
    """
    if isinstance(source, np.ndarray):
        name = "<array>" if name is None else name
        check_shape(source, name)
        _check_pixels(source.shape[0] * source.shape[1], max_pixels, name)
        return from_array(source, name)
    if isinstance(source, Image.Image):
        return np.array(_from_picture(source, "<image>" if name is None else name, max_pixels), order="C")
    if not isinstance(source, str | Path | bytes):
        source, name = file_content(source, name)
    found = load_photograph(source, max_pixels=max_pixels, name=name, strict=True, whole=True)
    return np.require(found.pixels, requirements="W")


def load_photograph(
    source: str | Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    needed: int | None = None,
    strict: bool = False,
    whole: bool = False,
) -> Photograph:
    """Decode a file as `load_image` does, and read when it was taken.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, at less cost: as long as its shorter side
    keeps `needed` pixels, if that is given, and where it would else exceed `max_pixels`, unless `whole` is asked for.
    One that is cut off is read as far as it goes, with a warning, unless `strict`.
    """
    settings = _Settings(max_pixels, needed, strict, whole)
    if isinstance(source, bytes):
        name = "<bytes>" if name is None else name
        if not source:
            raise ImageError(name, _EMPTY)
        return _decode(io.BytesIO(source), name, settings)
    path = Path(source)
    name = str(path) if name is None else name
    with open_photograph(path, name) as file:
        return _decode(file, name, settings)


class _Settings(NamedTuple):
    max_pixels: int
    needed: int | None
    strict: bool
    whole: bool


def file_content(file: Any, name: str | None) -> tuple[bytes, str]:
    """What a file that is open holds, and its name."""
    if not hasattr(file, "read"):
        cause = f"expected a path, a file, its bytes, a Pillow image or a numpy array, not {type(file).__name__}"
        raise ImageError("<image>" if name is None else name, cause)
    told = getattr(file, "name", None)
    name = name or (told if isinstance(told, str) else "<file>")
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(name, f"can't be read ({reason_of(error)}); give a file that is open for reading") from error
    if not isinstance(content, bytes):
        raise ImageError(name, "open as text; open it as binary: open(path, 'rb')")
    return content, name


def _from_picture(picture: Image.Image, name: str, max_pixels: int) -> ImageArray:
    _check_pixels(picture.width * picture.height, max_pixels, name)
    with damage_named(name), quiet_pillow:
        picture.load()
        return turn_upright(to_rgb(picture, name), orientation_of(picture))


def check_photograph(path: Path) -> None:
    """Raise ImageError unless this is a file that can be opened, and not an empty one; nothing is decoded."""
    open_photograph(path, str(path)).close()


def open_photograph(path: Path, name: str) -> BinaryIO:
    """Open a regular, non-empty file, or say why that can't be done."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(name, "a folder, not a file; name a photograph in it")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer, perhaps for ever
            raise ImageError(name, "a device or pipe, not a file; save the photograph to a file first")
        if status.st_size == 0:
            raise ImageError(name, _EMPTY)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(name, URL_CAUSE if is_url(name) else "no such file; check the path") from error
    except PermissionError as error:
        raise ImageError(name, f"can't be opened ({reason_of(error)}); check its access rights") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(name, f"can't be opened ({reason_of(error)})") from error


def _decode(file: BinaryIO, name: str, settings: _Settings, cut: bool = False) -> Photograph:
    """Decode a file; `cut`: an end marker was put behind what there is of a JPEG."""
    try:
        with damage_named(name), quiet_pillow, opened(file) as picture:
            width, height = picture.size
            reduce(picture, settings.max_pixels, settings.needed, settings.whole)
            _check_pixels(picture.width * picture.height, settings.max_pixels, name)
            if picture.mode == "F":
                raise ImageError(name, "floating point pixels; save it with 8 or 16 bits a channel")
            if picture.format in JPEG:
                check_jpeg(file, width * height, name)
            with muted_stderr if picture.format == "TIFF" else contextlib.nullcontext():
                try:
                    picture.load()
                except OSError:
                    if settings.strict or cut or picture.format != "JPEG":
                        raise
                    file.seek(0)
                    return _decode(io.BytesIO(file.read() + END), name, settings, cut=True)
            # Read the orientation afterwards: loading a TIFF applies it and drops the tag.
            orientation = orientation_of(picture)
            size = (height, width) if orientation >= 5 else (width, height)
            reduction = round(width / picture.width) if picture.format in JPEG else 1
            pixels = to_rgb(picture, name)
            warning = cut_off(pixels, name) if cut else None
            return Photograph(turn_upright(pixels, orientation), _taken(picture), size, reduction, warning)
    except Image.DecompressionBombError as error:
        raise ImageError(name, _bomb_cause(error, settings.max_pixels)) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        raise ImageError(name, unidentified_cause(file.read(12))) from error


@contextlib.contextmanager
def damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except (ImageError, Image.DecompressionBombError, UnidentifiedImageError):
        raise
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it; scale it down first") from error
    except Exception as error:  # on broken files Pillow raises nearly anything, KeyError included
        cause = f"damaged or cut off ({reason_of(error)}); copy or export it again"
        raise ImageError(name, cause) from error


def header_pixels(source: str | Path | bytes, needed: int | None = None) -> int:
    """H · W of what `load_photograph` decodes, by the header, without decoding it; 0 where that can't be read."""
    with contextlib.suppress(Exception), quiet_pillow:
        file = io.BytesIO(source) if isinstance(source, bytes) else open_photograph(Path(source), "")
        with file, opened(file) as picture:
            reduce(picture, MAX_PIXELS, needed)
            return picture.width * picture.height
    return 0


def orientation_of(picture: Image.Image) -> int:
    """Read the EXIF orientation, 1 … 8; 1 (upright) where there's none or the EXIF block is broken."""
    try:
        orientation = int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are sound, so broken metadata is no reason to refuse them
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _taken(picture: Image.Image) -> datetime | None:
    try:
        return datetime.strptime(str(picture.getexif().get_ifd(_EXIF)[_TIME_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # no time, or a broken one
        return None


def _check_pixels(pixels: int, max_pixels: int, name: str) -> None:
    if pixels == 0:
        raise ImageError(name, "the picture has no pixels")
    if pixels > max_pixels:
        raise ImageError(name, _too_many_pixels_cause(f"{pixels:,}", max_pixels))


def _too_many_pixels_cause(pixels: str, max_pixels: int) -> str:
    return f"too large: {pixels} pixels, and the limit is {max_pixels:,}; scale it down first"


def _bomb_cause(error: Image.DecompressionBombError, max_pixels: int) -> str:
    """Pillow's own limit in our words; Pillow raises before it gives the picture's size."""
    numbers = re.findall(r"\d+", str(error))
    limit = max_pixels if Image.MAX_IMAGE_PIXELS is None else min(max_pixels, 2 * Image.MAX_IMAGE_PIXELS)
    return _too_many_pixels_cause(f"{int(numbers[0]):,}" if numbers else "too many", limit)
