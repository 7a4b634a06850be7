"""Where photographs are: below folders, in lists, by patterns; and what is passed over."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from facever.errors import DataError, ImageError, reading, reason_of
from facever.faces.formats import HEIC_REMEDY, photograph_suffixes, undecodable_suffixes
from facever.faces.images import URL_CAUSE
from facever.faces.sources import is_uri
from facever.files import is_url

OTHER_SUFFIX, HIDDEN = "with another suffix", "hidden"
LINKED = "links to folders, which --follow-symlinks follows"


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
    uris : list of str
        Photographs elsewhere, which a list named.
    ignored : Counter
        What else is there, by reason: `OTHER_SUFFIX`, `HIDDEN`, `LINKED`.
    """

    paths: list[Path]
    errors: list[ImageError]
    passed_over: list[Path]
    uris: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter, compare=False)

    def all_errors(self) -> list[ImageError]:
        """Why folders and photographs are left out."""
        return self.errors + [
            ImageError(str(path), f"can't be decoded here; {HEIC_REMEDY}") for path in self.passed_over
        ]


def find_all(paths: Sequence[Path], follow_symlinks: bool = False) -> tuple[Path, Folder]:
    """The photographs in several folders, and single ones; first the folder that names are relative to.

    That is the folder, if it is the only one, else the one that holds all. A path that does not exist is a pattern
    (`*`, `?`, `[...]`, `**`) of photographs and folders. A file that is named counts whatever its suffix; one
    Parquet file alone is a list of photographs.

    Raises
    ------
    DataError
        If a path is missing, or matches nothing; and as `find_photographs`.
    """
    if len(paths) == 1 and paths[0].suffix == ".parquet" and paths[0].is_file():
        return paths[0].parent, read_list(paths[0])
    named = [path for given in paths for path in _matching(given)]
    if len(named) == 1 and named[0].is_dir():
        return named[0], find_photographs(named[0], follow_symlinks)
    files = [path.absolute() for path in named if not path.is_dir()]
    folders = [path.absolute() for path in named if path.is_dir()]
    root = Path(os.path.commonpath([*folders, *(path.parent for path in files)]))
    found = [find_photographs(folder, follow_symlinks) for folder in folders]
    whole = {*files, *chain.from_iterable(each.paths for each in found)}
    passed_over = {*chain.from_iterable(each.passed_over for each in found)}
    errors = list(chain.from_iterable(each.errors for each in found))
    ignored = sum((each.ignored for each in found), Counter())
    return root, Folder(sorted(whole), errors, sorted(passed_over), ignored=ignored)


def no_photographs(where: Path) -> DataError:
    """What to raise where photographs are wanted and there are none."""
    return DataError(f"{where}: no photographs in it; name a folder that holds some")


def listed_paths(file: Path) -> list[Path]:
    """The paths in a text file, one a line; "-" is stdin. Raises DataError if it can't be read, or is empty."""
    if file == Path("-"):
        content = sys.stdin.buffer.read()
    else:
        with reading(file, "name a text file of paths, one a line", piped=True):
            content = file.read_bytes()
    paths = [Path(os.fsdecode(line.rstrip(b"\r"))) for line in content.split(b"\n") if line.strip()]
    if not paths:
        raise DataError(f"{file}: names no photograph; write one path a line")
    return paths


def read_list(file: Path) -> Folder:
    """The photographs that a Parquet file lists in its column `path`: paths relative to the file's folder, and URIs.

    Raises
    ------
    DataError
        If it can't be read, has no such column or a row without a path.
    """
    import pyarrow.parquet as pq

    with reading(file, "give it a column 'path' of text, with a value in every row"):
        names = sorted(set(pq.read_table(file, columns=["path"])["path"].to_pylist()))
        uris = [name for name in names if is_uri(name)]
        paths = [file.parent / name for name in names if not is_uri(name)]
    undecodable = [path for path in paths if is_undecodable(path)]
    return Folder([path for path in paths if not is_undecodable(path)], [], undecodable, uris)


def _matching(path: Path) -> list[Path]:
    if os.path.lexists(path):
        return [path]
    matches = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  (may be absolute)
    found = [each for each in matches if each.is_dir() or is_photograph(each) or is_undecodable(each)]
    if not found:
        raise DataError(f"{path}: {URL_CAUSE if is_url(path) else 'no such folder or file; check the path'}")
    return found


def find_photographs(folder: str | Path, follow_symlinks: bool = False) -> Folder:
    """List the photographs in a folder and in the folders below it.

    Hidden files and folders are skipped and counted, and so are symbolic links to folders, unless `follow_symlinks`:
    then each folder is searched once, by whatever way it is reached first. Nothing is opened: a file counts by its
    suffix, in either case.

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

    ignored: Counter[str] = Counter()
    searched = {_identity(folder)}
    for parent, folders, files in os.walk(folder, onerror=note, followlinks=follow_symlinks):
        ignored[HIDDEN] += sum(each.startswith(".") for each in (*folders, *files))
        shown = sorted(each for each in folders if not each.startswith("."))
        if follow_symlinks:
            found = {_identity(Path(parent, each)): each for each in reversed(shown)}
            folders[:] = sorted(each for key, each in found.items() if key not in searched)
            searched.update(found)
        else:
            ignored[LINKED] += sum(Path(parent, each).is_symlink() for each in shown)
            folders[:] = shown
        here = [Path(parent, each) for each in files if not each.startswith(".")]
        paths += [path for path in here if is_photograph(path)]
        passed_over += [path for path in here if is_undecodable(path)]
        ignored[OTHER_SUFFIX] += sum(not is_photograph(path) and not is_undecodable(path) for path in here)
    return Folder(sorted(paths), errors, sorted(passed_over), ignored=+ignored)


def _identity(folder: Path) -> tuple[int, int] | Path:
    """What tells whether two paths are one folder."""
    try:
        status = folder.stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino


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


def ignored_note(ignored: Mapping[str, int]) -> str | None:
    """A sentence on what else is in a folder; None where there is nothing.

    >>> ignored_note({"hidden": 2, "with another suffix": 1})
    'passed over: hidden 2, with another suffix 1'
    """
    counted = [f"{reason} {count:,}" for reason, count in ignored.items() if count]
    return f"passed over: {', '.join(counted)}" if counted else None


def _check_folder(folder: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        cause = URL_CAUSE if is_url(folder) else "no such folder; check the path"
        raise DataError(f"{folder}: {cause}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: the folder can't be read ({reason_of(error)})") from error
    if not is_folder:
        raise DataError(f"{folder}: a file, not a folder; name the folder that holds the photographs")
