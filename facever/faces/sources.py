"""Photographs before they are decoded: files, the bytes of files with a name, or addresses."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from facever.errors import ImageError, reason_of
from facever.faces.images import ImageArray, load_photograph
from facever.files import sha256_of


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """The bytes of a picture's file and a name for it, for pictures inside other files."""

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Remote:
    """A photograph on a file system that pyarrow reads, such as s3://, gs:// or hdfs://; downloaded when it is read."""

    uri: str

    def __str__(self) -> str:
        return self.uri

    def fetched(self) -> ImageBytes:
        """Its content. Raises ImageError where it can't be downloaded."""
        from pyarrow.fs import FileSystem

        try:
            system, path = FileSystem.from_uri(self.uri)
            with system.open_input_stream(path) as file:
                return ImageBytes(self.uri, file.read())
        except (OSError, ValueError) as error:
            raise ImageError(self.uri, f"can't be downloaded ({reason_of(error)}); check the address") from error


Source = Path | ImageBytes | Remote


def file_of(source: Source) -> Path | bytes:
    """What decoders take: the path of a file, or its content. Raises ImageError where it can't be downloaded."""
    if isinstance(source, Remote):
        source = source.fetched()
    return source.data if isinstance(source, ImageBytes) else source


def is_uri(source: str) -> bool:
    """Whether this is a URI such as s3://bucket/photograph.jpg, not a path."""
    return "://" in source


def content_sha256(source: Source) -> str | None:
    """The SHA-256 of a photograph's file, in hexadecimal; None where it can't be read."""
    try:
        file = file_of(source)
        return hashlib.sha256(file).hexdigest() if isinstance(file, bytes) else sha256_of(file)
    except (OSError, ImageError):
        return None


class Decoded(NamedTuple):
    """A photograph ready for detection.

    Attributes
    ----------
    name : str
    image : uint8 ndarray of shape (H, W, 3), or ImageError
        RGB pixels, or why there are none.
    seconds : float
        What decoding took.
    sha256 : str or None
        Of its file, if that was asked for.
    taken, size, reduction
        As in `facever.faces.images.Photograph`; `size` is that of `image` by default.
    source : Path, ImageBytes or None
        Where the whole photograph can be read, if `image` is reduced.
    warning : str or None
        What is missing of it, as in `facever.faces.images.Photograph`.
    """

    name: str
    image: ImageArray | ImageError
    seconds: float = 0.0
    sha256: str | None = None
    taken: datetime | None = None
    size: tuple[int, int] | None = None
    reduction: int = 1
    source: Source | None = None
    warning: str | None = None


def read(source: Source, needed: int | None = None, hashed: bool = False, strict: bool = False) -> Decoded:
    """Read and decode a photograph; `needed` and `strict` as for `load_photograph`."""
    start = time.perf_counter()
    name = str(source)
    try:
        source = source.fetched() if isinstance(source, Remote) else source
        found = load_photograph(file_of(source), name=name, needed=needed, strict=strict)
    except ImageError as error:
        return Decoded(name, error, time.perf_counter() - start)
    sha256 = content_sha256(source) if hashed else None
    seconds = time.perf_counter() - start
    return Decoded(name, found.pixels, seconds, sha256, found.taken, found.size, found.reduction, source, found.warning)
