"""What facever keeps to save time: where it lies, how much it is, and what goes when it is too much.

user_cache()
  embeddings.sqlite         embeddings of evaluations
  crops/HASH/               crops of a data set, for trainings
  crops/NAME.safetensors    embeddings that a training learns from
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facever.errors import OutputError, SettingError

LIMIT_GB = 20.0


def user_cache() -> Path:
    """The folder of all caches: `facever` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facever"


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can enter; one that exists keeps its rights."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def cache_limit() -> int:
    """Bytes that crops, and as many that embeddings, may take: 20 GB, or FACEVER_CACHE_GB. Raises SettingError."""
    given = os.environ.get("FACEVER_CACHE_GB")
    try:
        gigabytes = LIMIT_GB if given is None else float(given)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise SettingError(f"FACEVER_CACHE_GB is a number of gigabytes, not {given!r}")
    return int(gigabytes * 1e9)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A file or folder of a cache: its size in bytes, and when it was last used, in seconds since 1970."""

    path: Path
    size: int
    used: float


def cache_entries(folder: Path) -> Iterator[CacheEntry]:
    """What a cache folder holds; files that vanish meanwhile are left out."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
            with contextlib.suppress(OSError):
                statuses = [each.stat() for each in files]
                yield CacheEntry(
                    path, sum(each.st_size for each in statuses), max((each.st_mtime for each in statuses), default=0.0)
                )


def remove(path: Path) -> None:
    """Remove a file or folder of a cache. Raises OutputError."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be removed ({error.strerror or error}); is it in use?") from error


def trim(folder: Path, keep: Path) -> None:
    """Remove what was not used for longest, but not `keep`, until the folder is within the limit."""
    entries = sorted(cache_entries(folder), key=lambda entry: entry.used)
    excess = sum(entry.size for entry in entries) - cache_limit()
    for entry in entries:
        if excess > 0 and entry.path != keep:
            with contextlib.suppress(OutputError):  # in use
                remove(entry.path)
                excess -= entry.size
