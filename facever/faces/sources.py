"""Photographs before they are decoded: files, or the content of files with a name; and where they lie."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError, ImageError, reason_of
from facever.faces.images import load_image

PHOTOGRAPH_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
"""The file name suffixes, in lower case, that `find_photographs` takes for photographs."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of a picture's file, and what to call it: for pictures that come inside other files."""

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


Source = Path | Picture


def content(source: Source) -> bytes:
    """The bytes of a photograph's file. Raises OSError."""
    return source.data if isinstance(source, Picture) else source.read_bytes()


def read(source: Source) -> tuple[str, NDArray[np.uint8] | ImageError]:
    """The name of a photograph, and its pixels (RGB uint8) or why they can't be had."""
    try:
        if isinstance(source, Picture):
            return source.name, load_image(source.data, name=source.name)
        return str(source), load_image(source)
    except ImageError as error:
        return str(source), error


def find_photographs(folder: str | Path) -> tuple[list[Path], list[ImageError]]:
    """List the photographs in a folder and in the folders below it.

    Hidden files and folders are skipped, symbolic links to folders are not followed. Nothing is opened: a
    file counts by its suffix (`PHOTOGRAPH_SUFFIXES`, in either case).

    Parameters
    ----------
    folder : str or Path
        An existing folder.

    Returns
    -------
    photographs : list of Path
        Sorted, each beginning with `folder`.
    errors : list of ImageError
        One for each folder below `folder` that can't be read; its photographs are missing from the list.

    Raises
    ------
    DataError
        If `folder` itself is missing, is a file, or can't be read.
    """
    folder = Path(folder)
    _check_folder(folder)
    photographs: list[Path] = []
    errors: list[ImageError] = []

    def note(error: OSError) -> None:
        unreadable = Path(error.filename)
        cause = f"the folder can't be read ({reason_of(error)}); check its access rights"
        if unreadable == folder:
            raise DataError(f"{folder}: {cause}") from error
        errors.append(ImageError(str(unreadable), cause))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        photographs += [Path(parent, each) for each in files if _is_photograph_name(each)]
    return sorted(photographs), errors


def _is_photograph_name(file_name: str) -> bool:
    return not file_name.startswith(".") and Path(file_name).suffix.lower() in PHOTOGRAPH_SUFFIXES


def _check_folder(folder: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder}: no such folder; check the path") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: the folder can't be read ({reason_of(error)})") from error
    if not is_folder:
        raise DataError(f"{folder}: a file, not a folder; name the folder that holds the photographs")
