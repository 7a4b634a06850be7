"""Photographs before they are decoded: files, or the bytes of files with a name; and where they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from facever.errors import DataError, ImageError, reason_of
from facever.faces.formats import HEIC_REMEDY, photograph_suffixes, undecodable_suffixes
from facever.faces.images import ImageArray, load_image


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """The bytes of a picture's file and a name for it, for pictures inside other files."""

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


Source = Path | ImageBytes


def content(source: Source) -> bytes:
    """The bytes of a photograph's file. Raises OSError."""
    return source.data if isinstance(source, ImageBytes) else source.read_bytes()


def read(source: Source) -> tuple[str, ImageArray | ImageError]:
    """The name of a photograph, and its pixels (RGB uint8) or the error."""
    try:
        if isinstance(source, ImageBytes):
            return source.name, load_image(source.data, name=source.name)
        return str(source), load_image(source)
    except ImageError as error:
        return str(source), error


@dataclass(frozen=True, slots=True)
class Folder:
    """The photographs below a folder.

    Attributes
    ----------
    paths : list of Path
        Sorted.
    errors : list of ImageError
        One for each folder below that can't be read.
    passed_over : list of Path
        Photographs in a format that can't be decoded here, such as HEIC without the extra `heic`.
    """

    paths: list[Path]
    errors: list[ImageError]
    passed_over: list[Path]

    def all_errors(self) -> list[ImageError]:
        """Why folders and photographs are left out."""
        return self.errors + [
            ImageError(str(path), f"can't be decoded here; {HEIC_REMEDY}") for path in self.passed_over
        ]


def find_photographs(folder: str | Path) -> Folder:
    """List the photographs in a folder and in the folders below it.

    Hidden files and folders are skipped, symbolic links to folders are not followed. Nothing is opened: a file counts
    by its suffix, in either case.

    Raises
    ------
    DataError
        If `folder` itself is missing, is a file, or can't be read.
    """
    folder = Path(folder)
    _check_folder(folder)
    paths: list[Path] = []
    passed_over: list[Path] = []
    errors: list[ImageError] = []

    def note(error: OSError) -> None:
        unreadable = Path(error.filename)
        cause = f"the folder can't be read ({reason_of(error)}); check its access rights"
        if unreadable == folder:
            raise DataError(f"{folder}: {cause}") from error
        errors.append(ImageError(str(unreadable), cause))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        here = [Path(parent, each) for each in files]
        paths += [path for path in here if is_photograph(path)]
        passed_over += [path for path in here if is_undecodable(path)]
    return Folder(sorted(paths), errors, sorted(passed_over))


def is_photograph(path: Path) -> bool:
    """Whether a file counts as a photograph, by its name."""
    return not path.name.startswith(".") and path.suffix.lower() in photograph_suffixes()


def is_undecodable(path: Path) -> bool:
    """Whether a file's name says that it is a photograph which can't be decoded here."""
    return not path.name.startswith(".") and path.suffix.lower() in undecodable_suffixes()


def passed_over_note(paths: Iterable[Path]) -> str | None:
    """A sentence on photographs that were passed over, with the remedy; None where there are none."""
    paths = list(paths)
    if not paths:
        return None
    kinds = ", ".join(sorted({path.suffix.lower() for path in paths}))
    return f"{len(paths)} photographs passed over ({kinds}), the first: {paths[0]}; {HEIC_REMEDY}"


def _check_folder(folder: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder}: no such folder; check the path") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: the folder can't be read ({reason_of(error)})") from error
    if not is_folder:
        raise DataError(f"{folder}: a file, not a folder; name the folder that holds the photographs")
