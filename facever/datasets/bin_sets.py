"""Pair sets in insightface's `.bin` form: CFP-FP, AgeDB-30, CALFW, CPLFW, LFW.

The form is a pickle of (list of encoded pictures, list of booleans); pictures 2k and 2k + 1 make pair k. Loading a
pickle can run any program, so this one is read by an unpickler that knows only lists, bytes and booleans.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, NoReturn

from facever.datasets.pairs import Pair
from facever.errors import DataError, check_regular, reason_of
from facever.faces.sources import ImageBytes


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that never looks up a name, which is how pickles run programs."""

    def find_class(self, module: str, name: str) -> Any:
        # The one exception: Python 3 writes bytes by protocol 2 as a call of _codecs.encode on text.
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for an object from outside")


def _encoded(text: Any, encoding: Any) -> bytes:
    """What _codecs.encode does for bytes in a pickle, and nothing else that it could do."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("it encodes something else than bytes")
    return text.encode("latin1")


def read_bin(file: Path) -> list[Pair]:
    """The pairs of a `.bin` set, in ten folds one after the other, as insightface evaluates them.

    Each picture keeps its bytes, so one that can't be decoded is named when it is read.

    Raises
    ------
    DataError
        If the file can't be read, holds anything but lists of bytes and booleans, or the two lists don't fit.
    """
    check_regular(file, "name a pair set")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: can't be read ({reason_of(error)}); name a pair set") from error
    try:
        # bytes written by Python 2 come as its strings
        value = _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken pickle can raise nearly anything
        raise DataError(
            f"{file}: refused, since a pair set holds only lists of bytes and booleans, and this: {reason_of(error)}; "
            "save it again as pickle.dump((list of bytes, list of bool), file)"
        ) from error
    pictures, same = _checked(value, file)
    count = len(same)
    return [
        Pair(
            ImageBytes(f"{file.name}[{2 * k}]", pictures[2 * k]),
            ImageBytes(f"{file.name}[{2 * k + 1}]", pictures[2 * k + 1]),
            bool(same[k]),
            min(9, k * 10 // count),
        )
        for k in range(count)
    ]


def _checked(value: Any, file: Path) -> tuple[list[bytes], list[bool]]:
    def require(condition: bool, what: str) -> None:
        if not condition:
            raise DataError(f"{file}: not a pair set: {what}")

    require(isinstance(value, list | tuple) and len(value) == 2, "it is not a list of pictures and a list of answers")
    pictures, same = value
    require(isinstance(pictures, list | tuple) and isinstance(same, list | tuple), "its two parts are not lists")
    require(all(isinstance(picture, bytes) for picture in pictures), "a picture is not bytes")
    require(all(isinstance(answer, bool | int) and answer in (0, 1) for answer in same), "an answer is not a boolean")
    require(len(same) > 0, "it is empty")
    require(len(pictures) == 2 * len(same), f"{len(pictures)} pictures for {len(same)} pairs")
    return list(pictures), list(same)
