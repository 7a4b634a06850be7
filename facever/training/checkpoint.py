"""Checkpoints: written whole or not at all, read without running anything that they hold.

The file is a mark, the SHA-256 of what follows, and what torch saves: torch itself notices few damaged bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from facever.errors import DataError, reading
from facever.files import atomic_write

MARK = b"facever checkpoint 1\n"
START = len(MARK) + hashlib.sha256().digest_size


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values. Raises OutputError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        file.write(MARK + hashlib.sha256(content).digest())
        file.write(content)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save_checkpoint` wrote.

    Raises
    ------
    DataError
        If there is none, or it can't be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: no checkpoint to resume; train without --resume")
    with reading(path, "train without --resume", what="not a whole checkpoint"):
        data = path.read_bytes()
        content = memoryview(data)[START:]
        if data[:START] != MARK + hashlib.sha256(content).digest():
            raise ValueError("damaged")
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise DataError(f"{path}: not a whole checkpoint (a {type(state).__name__}); train without --resume")
    return state


def check_kinds(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise KeyError for a value that is missing, TypeError for one of another type than `isinstance` takes."""
    for key, kind in kinds.items():
        if not isinstance(values[key], kind):
            raise TypeError(f"{key} is of type {type(values[key]).__name__}")


def check_same(path: Path, kind: str, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise DataError if a resumed run is asked for something else than it started with."""
    changed = [key for key in {**asked, **saved} if key not in asked or saved.get(key) != asked[key]]
    if changed:
        details = ", ".join(f"{key} {saved.get(key)!r} -> {asked.get(key)!r}" for key in changed)
        raise DataError(
            f"{path}: the run started with other {kind} ({details}); choose another --out, or --resume with the same "
            f"{kind}"
        )
