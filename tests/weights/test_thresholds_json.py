from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import RECORD

from facever.errors import DataError
from facever.weights.calibrated import Calibrated
from facever.weights.file import read_info
from facever.weights.records import Likelihood
from facever.weights.shipped import find_weights
from facever.weights.thresholds import Threshold
from facever.weights.thresholds_json import read_thresholds, write_thresholds

WEIGHTS = find_weights("default")
THRESHOLD = Threshold(1e-4, 0.95, "friends", 123_456, 0.5, (0.94, 0.96), (5e-5, 2e-4))
LINE = Likelihood(90.0, -80.0, 0.2, 0.18, "friends", 900, 123_456)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_thresholds(tmp_path / "t.json", WEIGHTS, "default", Calibrated([THRESHOLD], LINE, RECORD))
    return tmp_path / "t.json"


def test_what_was_written_takes_the_place_of_what_the_weights_hold(file: Path) -> None:
    info = read_info(WEIGHTS)
    read = read_thresholds(file, WEIGHTS, info)
    assert read.thresholds == [THRESHOLD]
    assert read.likelihood == LINE
    assert read.quality == RECORD
    assert (read.name, read.network, read.training_data) == (info.name, info.network, info.training_data)


def test_a_file_without_a_record_of_quality_leaves_that_of_the_weights(file: Path) -> None:
    write_thresholds(file, WEIGHTS, "default", Calibrated([THRESHOLD], LINE))
    own = replace(RECORD, source="the weights' own people")
    assert read_thresholds(file, WEIGHTS, replace(read_info(WEIGHTS), quality=own)).quality == own


def test_thresholds_of_other_weights_are_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"t\.json: thresholds of other weights \(default, .*calibrate these"):
        read_thresholds(file, other, read_info(WEIGHTS))


@pytest.mark.parametrize(
    "change", [{"format": 9}, {"thresholds": [{"far": 1}]}, {"likelihood": {"slope": -1}}, {"quality": {}}]
)
def test_a_file_of_another_kind_is_refused_by_name(file: Path, change: dict) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"t\.json: no thresholds .*give what facever calibrate wrote"):
        read_thresholds(file, WEIGHTS, read_info(WEIGHTS))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\x00", b'{"format": 1}'])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.json: no thresholds"):
        read_thresholds(tmp_path / "b.json", WEIGHTS, read_info(WEIGHTS))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json: no thresholds"):
        read_thresholds(tmp_path / "gone.json", WEIGHTS, read_info(WEIGHTS))


@pytest.mark.slow
def test_every_flipped_bit_and_changed_digit_is_refused(file: Path) -> None:
    data, info = bytearray(file.read_bytes()), read_info(WEIGHTS)
    draw = np.random.default_rng(0)
    for position, bit in zip(draw.integers(len(data), size=200), draw.integers(8, size=200), strict=True):
        flipped = bytearray(data)
        flipped[position] ^= 1 << bit
        file.write_bytes(flipped)
        # White space between values holds nothing that could be damaged.
        if json_or_none(bytes(flipped)) != json_or_none(bytes(data)):
            with pytest.raises(DataError, match=r"t\.json: no thresholds"):
                read_thresholds(file, WEIGHTS, info)
    file.write_text(data.decode().replace("0.95", "0.35"))
    with pytest.raises(DataError, match="damaged or edited"):
        read_thresholds(file, WEIGHTS, info)


def json_or_none(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


def test_a_cosine_of_hundreds_of_digits_is_refused_by_name(file: Path) -> None:
    file.write_text(file.read_text().replace("0.95", "1" * 401))
    with pytest.raises(DataError, match=r"t\.json: no thresholds"):
        read_thresholds(file, WEIGHTS, read_info(WEIGHTS))
