"""A calibration as a small JSON file beside unchanged weights: thresholds, likelihood ratio, quality, tail."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from facever.errors import DataError, check_regular, reason_of
from facever.files import sha256_of, write_json
from facever.weights.calibrated import Calibrated
from facever.weights.metadata import WeightsInfo, versions, with_thresholds
from facever.weights.records import WeightsId

FORMAT = 4


def write_thresholds(path: Path, weights: Path, name: str, calibrated: Calibrated) -> None:
    """Write a calibration with the hash of its weights, whole or not at all. Raises OutputError."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "weights": {"name": name, "sha256": sha256_of(weights)},
        **asdict(calibrated),
        "versions": versions(),
    }
    write_json(path, {**value, "sha256": _digest(value)})


def read_thresholds(path: Path, weights: Path, info: WeightsInfo) -> WeightsInfo:
    """The metadata of weights with the file's calibration in place of their own.

    Raises
    ------
    DataError
        If the file can't be read, is no calibration, or belongs to other weights: cosines of one network say nothing
        about another's.
    """
    check_regular(path, "give what facever calibrate wrote")
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if fields.get("format") != FORMAT:
            raise ValueError(f"format {fields.get('format')}, where this facever reads {FORMAT}")
        if fields.pop("sha256", None) != _digest(fields):
            raise ValueError("damaged or edited: its digest is not that of its content")
        of = msgspec.convert(fields["weights"], WeightsId)
        found = msgspec.convert(fields, Calibrated)
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: no thresholds ({reason_of(error)}); give what facever calibrate wrote") from error
    if of.sha256 != sha256_of(weights):
        raise DataError(
            f"{path}: thresholds of other weights ({of.name}, sha256 {of.sha256[:12]}…) than {weights}; calibrate these"
        )
    return replace(with_thresholds(info, found), file=str(path))


def _digest(value: dict[str, Any]) -> str:
    """SHA-256 of the content, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
