"""A folder of links to photographs for each person."""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from facever.errors import OutputError
from facever.files import check_output_folder
from facever.gallery.clustering import Clustering

LONGEST = 80


def check_folders(folder: Path, inputs: Iterable[Path]) -> None:
    """Check that folders can be written there: a new place, or an empty folder. Raises OutputError."""
    check_output_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files already; name a new folder")
    if any(folder.resolve().is_relative_to(each.resolve()) for each in inputs if each.is_dir()):
        raise OutputError(f"{folder}: lies in what is read here; name a folder elsewhere")


def write_folders(folder: Path, clustering: Clustering, root: Path) -> int:
    """Write all folders, or none, for their owner only: a symbolic link per photograph of a person.

    A folder has the person's name, as far as files may have it, or else the id; those of one face are left out, unless
    they have a name.

    Returns
    -------
    int
        The number of links.

    Raises
    ------
    OutputError
        If they can't be written.
    """
    count = 0
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
                    (place / _free(photograph.name, there)).symlink_to(photograph)
                    count += 1
            if folder.is_dir():
                folder.rmdir()
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error.strerror or error}); choose another place") from error
    return count


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
    return found[:LONGEST] or "_"


def _free(name: str, used: set[str]) -> str:
    """A name that no other has, whatever the case."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  (a name of a person isn't a path)
    found, number = name, 1
    while found.casefold() in used:
        number += 1
        found = f"{stem} {number}{suffix}"
    used.add(found.casefold())
    return found
