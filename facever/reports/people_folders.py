"""A folder of photographs for each person: links, or copies."""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from facever.errors import ImageError, OutputError
from facever.faces.images import check_photograph
from facever.files import check_output_folder
from facever.gallery.clustering import Clustering

LONGEST = 200  # bytes of a name; file systems take 255


def check_folders(folder: Path, inputs: Iterable[Path]) -> None:
    """Check that folders can be written there: a new place, or an empty folder. Raises OutputError."""
    check_output_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files already; name a new folder")
    if any(folder.resolve().is_relative_to(each.resolve()) for each in inputs if each.is_dir()):
        raise OutputError(f"{folder}: lies in what is read here; name a folder elsewhere")


def write_folders(folder: Path, clustering: Clustering, root: Path, copy: bool = False) -> tuple[int, list[str]]:
    """Write all folders, or none, for their owner only: a symbolic link per photograph of a person.

    A folder has the person's name, as far as files may have it, or else the id; those of one face are left out, unless
    they have a name.

    Parameters
    ----------
    root : Path
        What the paths of photographs are relative to.
    copy : bool
        Copies with their times instead of links; a photograph of two people is copied twice.

    Returns
    -------
    int, list of str
        The number of photographs, and those that can't be copied, with the reason.

    Raises
    ------
    OutputError
        If they can't be written.
    """
    count, problems = 0, []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", dir=folder.parent))
        try:
            used: set[str] = set()
            for person, faces in clustering.people().items():
                if len(faces) == 1 and faces[0].name is None:
                    continue
                place = temporary / _free(file_name(faces[0].name or person), used)
                place.mkdir()
                there: set[str] = set()
                for path in dict.fromkeys(face.path for face in faces):
                    photograph = Path(os.path.abspath(root / path))  # noqa: PTH100  (links stay)
                    if not copy:
                        (place / _free(photograph.name, there)).symlink_to(photograph)
                    elif problem := _unreadable(photograph):
                        problems.append(problem)
                        continue
                    else:
                        shutil.copy2(photograph, place / _free(photograph.name, there))
                    count += 1
            if folder.is_dir():
                folder.rmdir()
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error.strerror or error}); choose another place") from error
    return count, list(dict.fromkeys(problems))


def _unreadable(photograph: Path) -> str | None:
    try:
        check_photograph(photograph)
    except ImageError as error:
        return str(error)
    return None


def file_name(name: str) -> str:
    r"""A name that every file system takes.

    Examples
    --------
    >>> file_name("Ann/../Bo\n"), file_name(".."), file_name("Zoë Ångström")
    ('Ann_.._Bo', '_', 'Zoë Ångström')
    """
    found = "".join(
        "_" if c in '/\\:*?"<>|' or unicodedata.category(c).startswith("C") else c for c in name.strip()
    ).strip(". ")
    return _cut(found).rstrip(". ") or "_"


def _free(name: str, used: set[str]) -> str:
    """A name that no other has, whatever the case, and however its accents are encoded."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  (a name of a person isn't a path)
    found, number = name, 1
    while _same(found) in used:
        number += 1
        found = f"{_cut(stem)} {number}{suffix}"
    used.add(_same(found))
    return found


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cut(name: str) -> str:
    """So much of a name that a number and a suffix still go behind it."""
    return name.encode("utf-8", "surrogateescape")[:LONGEST].decode("utf-8", "ignore")
