"""MNIST's IDX files, compressed by gzip or not.

Y. LeCun, C. Cortes, C. J. C. Burges, *The MNIST database of handwritten digits*: big-endian; two zero bytes, the type
(8: unsigned byte), the number of axes, their lengths (4 bytes each), the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError, check_regular, reason_of

PARTS = {"train": "train", "test": "t10k"}


def read_mnist(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One part of MNIST.

    Parameters
    ----------
    part : {"train", "test"}

    Returns
    -------
    digits : uint8 ndarray of shape (n, 28, 28), white on black
    labels : int64 ndarray of shape (n,), in [0, 9]

    Raises
    ------
    DataError
        If a file is missing, broken, or not what its name says.
    """
    path = _find(folder, f"{PARTS[part]}-images", "idx3")
    digits = read_idx(path)
    if digits.ndim != 3 or digits.shape[1:] != (28, 28) or not len(digits):
        raise DataError(f"{path}: its shape is {digits.shape}, where digits have (n, 28, 28); fetch MNIST's own file")
    path = _find(folder, f"{PARTS[part]}-labels", "idx1")
    labels = read_idx(path)
    if labels.shape != digits.shape[:1] or labels.max() > 9:
        raise DataError(f"{path}: not a label from 0 to 9 for each of the {len(digits)} digits; fetch MNIST's own file")
    return digits, labels.astype(np.int64)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes. Raises DataError."""
    check_regular(path, "fetch it again")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise DataError(f"{path}: can't be read ({reason_of(error)}); fetch it again") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4:
        raise DataError(f"{path}: not an IDX file of unsigned bytes; name the folder of MNIST's files with --mnist")
    axes = data[3]
    start = 4 + 4 * axes
    shape: tuple[Any, ...] = struct.unpack(f">{axes}I", data[4:start]) if len(data) >= start else (math.inf,)
    if len(data) - start != math.prod(shape):
        raise DataError(f"{path}: cut short or too long for its shape; fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, stem: str, kind: str) -> Path:
    for between in ("-", "."):  # both spellings are about
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{between}{kind}-ubyte{suffix}"
            if path.is_file():
                return path
    raise DataError(
        f"{folder}: no {stem}-{kind}-ubyte (nor .gz) in it; name the folder that holds MNIST's four IDX files"
    )
