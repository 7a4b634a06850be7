"""A calibration as a small JSON file beside unchanged weights: thresholds, likelihood ratio, quality."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from facever.errors import DataError, reason_of
from facever.files import sha256_of, write_json
from facever.weights.metadata import WeightsInfo, versions, with_thresholds
from facever.weights.records import Likelihood, Quality, Threshold

FORMAT = 2


def write_thresholds(
    path: Path,
    weights: Path,
    name: str,
    thresholds: list[Threshold],
    line: Likelihood | None,
    quality: Quality | None = None,
) -> None:
    """Write a calibration with the hash of its weights, whole or not at all. Raises OutputError."""
    value = {
        "format": FORMAT,
        "weights": {"name": name, "sha256": sha256_of(weights)},
        "thresholds": [asdict(threshold) for threshold in thresholds],
        "likelihood": None if line is None else asdict(line),
        "quality": None if quality is None else asdict(quality),
        "versions": versions(),
    }
    write_json(path, value)


def read_thresholds(path: Path, weights: Path, info: WeightsInfo) -> WeightsInfo:
    """The metadata of weights with the file's calibration in place of their own.

    Raises
    ------
    DataError
        If the file can't be read, is no calibration, or belongs to other weights: cosines of one network say nothing
        about another's.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, where this facever reads {FORMAT}")
        owner = dict(fields["weights"])
        thresholds = [Threshold.from_json(threshold) for threshold in fields["thresholds"]]
        line = None if fields["likelihood"] is None else Likelihood(**fields["likelihood"])
        quality = fields["quality"]
        found = None if quality is None else Quality.from_json(quality)
        name, expected = str(owner["name"]), owner["sha256"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: no thresholds ({reason_of(error)}); give what facever calibrate wrote") from error
    if expected != sha256_of(weights):
        raise DataError(
            f"{path}: thresholds of other weights ({name}, sha256 {str(expected)[:12]}…) than {weights}; "
            "calibrate these"
        )
    return with_thresholds(info, thresholds, line, found)
