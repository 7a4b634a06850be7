"""The files of an index: written together, and refused where they are damaged."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facever.caches import private_folder
from facever.errors import DataError, OutputError, reading, reason_of
from facever.files import sha256_of, write_json
from facever.gallery.faces import FaceTable

GRAPH, VECTORS, KEYS = FILES = ("graph.usearch", "vectors.npy", "keys.npy")
REMEDY = "remove it, and it is built anew"
# The clock of a file system may stand still for so long, in nanoseconds: a later change would have the same time.
TICK = 1_000_000_000


def read_made(folder: Path, version: int) -> dict[str, Any]:
    """What an index says of itself. Raises DataError if it can't be read, or is of another version."""
    with reading(folder, REMEDY):
        made = dict(json.loads((folder / "made.json").read_text(encoding="utf-8")))
        if made.get("format") != version:
            raise DataError(f"{folder}: of another facever; {REMEDY}")
        if not {*FILES, "weights", "dataset", "size", "recall", "expansion"} <= made.keys():
            raise DataError(f"{folder}: damaged; {REMEDY}")
    return made


def check_index(folder: Path, made: Mapping[str, Any]) -> None:
    """Compare the files with their sums, unless none was changed since that was last done.

    usearch trusts its file: it would follow a broken link out of its memory. Sizes, times and inodes tell whether a
    program has written to a file, or put another in its place; they do not tell what a failing disk did to it.

    Raises
    ------
    DataError
        If one is damaged.
    """
    with reading(folder, REMEDY):
        at, stamps = _stamps(folder)
        if stamps == _checked(folder):
            return
        if any(sha256_of(folder / name) != made[name] for name in FILES):
            raise DataError(f"{folder}: damaged; {REMEDY}")
    _remember(folder, at, stamps)


def _remember(folder: Path, at: int, stamps: Mapping[str, list[int]]) -> None:
    """That the files had their sums when they had these stamps, which were taken before they were summed."""
    if all(at - max(stamp[1:3]) > TICK for stamp in stamps.values()):
        with contextlib.suppress(OutputError):  # a folder that can only be read is checked each time
            write_json(folder / "checked.json", stamps, private=True)


def _stamps(folder: Path) -> tuple[int, dict[str, list[int]]]:
    """The time, and size, times and inode of each file."""
    found = {}
    at = time.time_ns()
    for name in FILES:
        status = (folder / name).stat()
        found[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return at, found


def _checked(folder: Path) -> Any:
    try:
        return json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_vectors(file: Path, faces: FaceTable, count: int) -> None:
    """Write all vectors as .npy, in the order of the dataset. Not through a map: a full disk would end the process."""
    with file.open("wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, faces.size)}
        np.lib.format.write_array_header_2_0(out, header)
        for _, vectors in faces.blocks():
            out.write(np.ascontiguousarray(vectors, "<f4").tobytes())


@contextlib.contextmanager
def replacing(folder: Path, graph: Any, keys: Any) -> Iterator[tuple[Path, Callable[[dict[str, Any]], None]]]:
    """A temporary folder with the graph and the keys, which takes the place of `folder`, whole or not at all.

    The caller writes the vectors there, and then calls the second value with what the index says of itself.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    temporary: Path | None = None

    def finish(made: dict[str, Any]) -> None:
        assert temporary is not None
        at, stamps = _stamps(temporary)
        sums = {name: sha256_of(temporary / name) for name in FILES}
        write_json(temporary / "made.json", {**made, **sums})
        _remember(temporary, at, stamps)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)

    try:
        temporary = private_folder(Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)))
        graph.save(str(temporary / GRAPH))
        np.save(temporary / KEYS, keys)
        yield temporary, finish
    except (OSError, RuntimeError) as error:  # the latter is usearch's
        raise OutputError(f"{folder}: can't be written ({reason_of(error)}); free its place") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
