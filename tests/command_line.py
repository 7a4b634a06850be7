"""The command line run within the tests, and small "people" to give to it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from facever.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What stdout holds, if that is one JSON object and nothing else."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def facever(*arguments: str | Path, terminal: bool = False, cache: Path | None = None, quiet: str = "1") -> Outcome:
    """Run the command line in this process: a new one would spend seconds on importing torch."""
    kind = Terminal if terminal else io.TextIOWrapper
    out = kind(io.BytesIO(), encoding="utf-8", write_through=True)
    err = kind(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    with (
        mock.patch.object(sys, "argv", ["facever", *map(str, arguments)]),
        tempfile.TemporaryDirectory() as empty,
        mock.patch.dict(
            os.environ, COLUMNS="200", TERM="xterm", FACEVER_QUIET=quiet, XDG_CACHE_HOME=str(cache or empty)
        ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    texts = [re.sub(r"\x1b\[[0-9;]*m", "", stream.buffer.getvalue().decode()) for stream in (out, err)]  # type: ignore[attr-defined]
    return Outcome(int(end.value.code or 0), *texts)


def tinted_people(root: Path, portrait: Path, people: int, shots: int) -> None:
    """One face in as many tints as there are "people"."""
    face = np.asarray(Image.open(portrait).resize((137, 160)), np.float64)
    for person in range(people):
        tint = np.array([0.4 + 0.6 * ((person >> bit & 1) or person / people) for bit in range(3)])
        (root / f"p{person:02d}").mkdir(parents=True)
        for shot in range(shots):
            pixels = np.clip(face * tint * (0.8 + 0.1 * shot), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"p{person:02d}" / f"{shot}.png")
