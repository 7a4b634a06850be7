"""Names of photographs in a dataset: their paths, or keyed hashes of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from facever.errors import DataError, OutputError, reading, reason_of
from facever.faces.sources import is_uri
from facever.files import as_text

Naming = Callable[[str, Path], str]
"""From the source of a photograph and the dataset's root to its name."""

_LEAST = 32  # bytes of a key's text


def name_below(source: str, root: Path) -> str:
    """The name of a photograph in the table: its path below the root, or its URI."""
    if is_uri(source):
        return source
    path = Path(source)
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return as_text(relative.as_posix())


class HashedNames:
    """HMAC-SHA256 of `name_below`, in 64 hexadecimal digits: who lacks the key can't tell a path from its name.

    Examples
    --------
    >>> names = HashedNames(b"a key that nobody else has, I hope")
    >>> names("photographs/ann/1.jpg", Path("photographs")) == names("ann/1.jpg", Path())
    True
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, source: str, root: Path) -> str:
        return self.of(name_below(source, root))

    def of(self, text: str) -> str:
        """The keyed hash of a text."""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    @property
    def key_id(self) -> str:
        """What tells this key from others, and nothing else about it."""
        return self.of("\0key")[:16]


def read_key(file: Path) -> bytes:
    """The key in a file, without the white space around it; a new file gets a new key, and only its owner can read it.

    Raises
    ------
    DataError
        If it can't be read, or is too short to be a key.
    OutputError
        If it can't be written.
    """
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(secrets.token_hex(32) + "\n")
        except OSError as error:
            raise OutputError(f"{file}: can't be written ({reason_of(error)}); choose another place") from error
    with reading(file, "name the file of a key"):
        key = file.read_bytes().strip()
    if len(key) < _LEAST:
        raise DataError(f"{file}: {len(key)} bytes are no key; name a file that is not there, and it gets one")
    return key
