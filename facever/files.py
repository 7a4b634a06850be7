"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facever.errors import OutputError


def user_cache() -> Path:
    """The folder of all caches: `facever` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facever"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an exception.

    Creates the folder if needed.

    Raises
    ------
    OutputError
        If the file can't be written: no permission, a folder of that name, a full disk.
    """
    temporary: Path | None = None
    try:
        _check_kind(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        candidate = path.parent / f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.part"
        # Not tempfile, whose files are for their owner only: these get the rights that any new file gets.
        os.close(os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        temporary = candidate
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check before hours of work that `path` can be written; leaves nothing behind. Raises OutputError."""
    try:
        _check_kind(path)
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path}: can't be written (no permission); choose another place")
        folder = path.parent
        while not folder.exists():  # `atomic_write` creates it
            folder = folder.parent
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file to write")
    if path.exists() and not path.is_file():  # replacing it would destroy /dev/null
        raise OutputError(f"{path} is a device or pipe; name a file to write")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OutputError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON in ASCII (file names may not be text), whole or not at all. Raises OutputError."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
