"""Files that appear whole or not at all, and never in the place of something else."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from facever.errors import OutputError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows, where a file that is open can't be removed
    flock = None  # type: ignore[assignment]

Kind = Literal["csv", "json", "onnx", "page", "parquet", "picture", "safetensors", "text"]

_TEMPORARY = re.compile(r"\..{1,40}\.[0-9a-f]{12}\.facever")
_HEAD = 4096


def is_url(path: object) -> bool:
    """Whether this is a URL such as s3://bucket/a.jpg, also one that `Path` has robbed of a slash."""
    return re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


def path_is(kind: Callable[[Path], bool], path: Path) -> bool:
    """`Path.is_file` or the like, of a path that a file names: False where the system can't tell."""
    try:
        return kind(path)
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False


def as_text(name: str) -> str:
    r"""Write bytes that are not UTF-8, which file names may hold, as \udcXX: two names stay two."""
    return name.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """The text on one line, fit for a terminal: file names may hold line breaks and escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@contextlib.contextmanager
def atomic_write(path: Path, private: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an exception.

    Creates the folder if needed. What a killed process left behind is removed by the next one that writes there.

    Parameters
    ----------
    private : bool
        Only its owner can read the file: for faces and their embeddings.

    Raises
    ------
    OutputError
        If the file can't be written: no permission, a folder of that name, a full disk.
    """
    temporary: Path | None = None
    lock = -1
    try:
        _check_is_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent.resolve())
        candidate = path.parent / f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.facever"
        # Not tempfile, whose files are for their owner only: these get the rights that any new file gets.
        lock = os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private else 0o666)
        temporary = candidate
        _hold(lock)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if flock is None:
            os.close(lock)
            lock = -1
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error
    finally:
        if lock >= 0:
            os.close(lock)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _hold(file: int) -> bool:
    """Lock an open file for as long as this process lives; False where another one holds it."""
    if flock is not None:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return False
    return True


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove temporary files of processes that are gone. Once a process: the folder may hold a million files."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    file = os.open(entry.path, os.O_WRONLY)
                    try:
                        abandoned = _hold(file)
                    finally:
                        os.close(file)
                    if abandoned:
                        Path(entry).unlink()


def check_output(path: Path, kind: Kind, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check before hours of work that `path` can be written; leaves nothing behind.

    Parameters
    ----------
    kind : str
        What will be written there.
    inputs : Paths
        What the command reads, files or folders: none of them is ever overwritten.
    force : bool
        Overwrite a file of another kind.

    Raises
    ------
    OutputError
        Also if it is one of the inputs, or, without `force`, a file of another kind; if its suffix is not that of the
        kind; and for a URL.
    """
    _check_local(path)
    try:
        for source in inputs:
            if path.exists() and source.exists() and path.samefile(source):
                raise OutputError(f"{path} is what is read here; name another file to write")
        _check_is_file(path)
        if path.suffix.lower() not in _SUFFIXES[kind]:
            raise OutputError(f"{path}: {_KINDS[kind][0]} is written here; name one that ends in {_SUFFIXES[kind][0]}")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path}: can't be written (no permission); choose another place")
        if not force and not _is_kind(path, kind):
            raise OutputError(f"{path} is there, and is not {_KINDS[kind][0]}; name another file, or --force")
        folder = path.parent
        while not folder.exists():  # `atomic_write` creates it
            folder = folder.parent
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error


def check_output_folder(path: Path) -> None:
    """Refuse a URL, the name of a file, and what is a file, where a folder is written. Raises OutputError."""
    _check_local(path)
    try:
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; choose another place for a folder")
        if path.suffix.lower() in _FILE_SUFFIXES and not path.is_dir():
            raise OutputError(f"{path}: a folder is written here; name one without {path.suffix}")
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error


def _check_local(path: Path) -> None:
    if is_url(path):
        raise OutputError(f"{path}: a URL, and only files on this machine are written; write one, and copy it there")


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file to write")
    if path.exists() and not path.is_file():  # replacing it would destroy /dev/null
        raise OutputError(f"{path} is a device or pipe; name a file to write")


def _is_kind(path: Path, kind: Kind) -> bool:
    """Whether a file looks like one of this kind; a missing or empty one does."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return True
    return not head or _KINDS[kind][1](head)


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and b"\0" not in head  # a character that the head's end cuts
    return b"\0" not in head


_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_KINDS: dict[Kind, tuple[str, Callable[[bytes], bool]]] = {
    "csv": ("a CSV file", lambda head: _is_text(head) and head.lstrip()[:1] not in (b"{", b"[", b"<")),
    "json": ("a JSON file", lambda head: _is_text(head) and head.lstrip()[:1] in (b"{", b"[")),
    "onnx": ("an ONNX file", lambda head: head[:1] == b"\x08"),  # the field that every exporter writes first
    "page": ("a page of facever's", lambda head: _is_text(head) and b"facever" in head),
    "parquet": ("a Parquet file", lambda head: head[:4] == b"PAR1"),
    "picture": ("a picture", lambda head: head.startswith(_PICTURES)),
    "safetensors": ("a weights file", lambda head: head[8:9] == b"{"),
    "text": ("a text file", _is_text),
}


_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "csv": (".csv",),
    "json": (".json", ".jsonl"),
    "onnx": (".onnx",),
    "page": (".html",),
    "parquet": (".parquet",),
    "picture": (".png",),
    "safetensors": (".safetensors",),
    "text": (".md", ".svg", ".toml", ".txt"),
}
_FILE_SUFFIXES = frozenset(suffix for each in _SUFFIXES.values() for suffix in each) | {".pt", ".tsv", ".jpg", ".zip"}


def write_bytes(path: Path, content: bytes, private: bool = False) -> None:
    """Write a file, whole or not at all; `private` as for `atomic_write`. Raises OutputError."""
    with atomic_write(path, private) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any, private: bool = False) -> None:
    """Write JSON in ASCII (file names may not be text), whole or not at all. Raises OutputError."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode(), private)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
