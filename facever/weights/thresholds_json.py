"""A calibration as a small JSON file beside unchanged weights: thresholds, likelihood ratio, quality, tail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from facever.errors import DataError, check_regular, reason_of
from facever.files import sha256_of, write_json
from facever.weights.metadata import WeightsInfo, versions, with_thresholds
from facever.weights.records import Likelihood, Quality, WeightsId
from facever.weights.tails import Tail
from facever.weights.thresholds import LowerThreshold, Threshold, check_lower_thresholds, check_thresholds

FORMAT = 4


@dataclass(frozen=True, slots=True)
class _Calibration:
    weights: WeightsId
    thresholds: list[Threshold]
    lower_thresholds: list[LowerThreshold]
    likelihood: Likelihood | None
    quality: Quality | None
    tail: Tail | None = None

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds)
        check_lower_thresholds(self.lower_thresholds)


def write_thresholds(
    path: Path,
    weights: Path,
    name: str,
    thresholds: list[Threshold],
    line: Likelihood | None,
    quality: Quality | None = None,
    tail: Tail | None = None,
    lower_thresholds: Sequence[LowerThreshold] = (),
) -> None:
    """Write a calibration with the hash of its weights, whole or not at all. Raises OutputError."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "weights": {"name": name, "sha256": sha256_of(weights)},
        "thresholds": [asdict(threshold) for threshold in thresholds],
        "lower_thresholds": [asdict(threshold) for threshold in lower_thresholds],
        "likelihood": None if line is None else asdict(line),
        "quality": None if quality is None else asdict(quality),
        "tail": None if tail is None else asdict(tail),
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
        found = msgspec.convert(fields, _Calibration)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: no thresholds ({reason_of(error)}); give what facever calibrate wrote") from error
    if found.weights.sha256 != sha256_of(weights):
        raise DataError(
            f"{path}: thresholds of other weights ({found.weights.name}, sha256 {found.weights.sha256[:12]}…) than "
            f"{weights}; calibrate these"
        )
    calibrated = (found.thresholds, found.likelihood, found.quality, found.tail, found.lower_thresholds)
    return replace(with_thresholds(info, *calibrated), file=str(path))


def _digest(value: dict[str, Any]) -> str:
    """SHA-256 of the content, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
