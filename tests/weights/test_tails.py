from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import genpareto

from facever.errors import DataError, WeightsError
from facever.weights.calibrated import Calibrated
from facever.weights.file import read_info
from facever.weights.records import Likelihood
from facever.weights.shipped import find_weights
from facever.weights.tails import Tail
from facever.weights.thresholds import Threshold
from facever.weights.thresholds_json import read_thresholds, write_thresholds

INTERVALS = ((1e-2, 5e-3, 2e-2), (1e-4, 5e-5, 2e-4), (1e-6, 1e-8, 1e-5), (1e-8, 0.0, 1e-5))
TAIL = Tail(0.35, 0.01, -0.12, 0.05, "some people", 10**6, 400, INTERVALS)


@pytest.mark.parametrize("shape", [-0.3, -0.12, 0.0, 0.2])
@pytest.mark.parametrize("fmr", [0.009, 1e-4, 1e-7])
def test_the_threshold_is_scipy_s_quantile(shape: float, fmr: float) -> None:
    expected = 0.35 + genpareto.isf(fmr / 0.01, shape, scale=0.05)
    assert replace(TAIL, shape=shape).cosine(fmr) == pytest.approx(expected, abs=1e-9)


def test_a_rate_above_the_tail_gets_its_start_which_keeps_it() -> None:
    assert TAIL.cosine(0.5) == TAIL.cosine(0.01) == 0.35


def test_a_rate_is_supported_until_its_interval_ends_at_ten_times_itself() -> None:
    assert TAIL.why_unsupported(1e-4) is TAIL.why_unsupported(1e-6) is None
    # Between 1e-6 (ten times) and 1e-8 (a thousand times): a hundred times, and so four times the people.
    assert TAIL.why_unsupported(1e-7) == "400 people (some people) are too few; it takes about 1,600"
    assert TAIL.why_unsupported(1e-9) == "the calibration on some people ends at a rate of 1e-08"


@pytest.mark.parametrize(
    "change",
    [
        {"start": math.nan},
        {"rate": 0.0},
        {"shape": 0.7},
        {"shape": math.inf},
        {"scale": 0.0},
        {"scale": -0.1},
        {"people": 1},
        {"intervals": []},
        {"intervals": [[1e-4, 0.0, 1e-3], [1e-2, 0.0, 1e-1]]},
        {"intervals": [[1e-2, 0.5, 0.1]]},
    ],
)
def test_a_record_out_of_range_is_refused(change: dict) -> None:
    value = json.loads(json.dumps(asdict(TAIL)))
    assert msgspec.convert(value, Tail) == TAIL
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value | change, Tail)


def test_a_calibration_file_carries_it_and_one_without_drops_that_of_the_weights(tmp_path: Path) -> None:
    weights = find_weights("default")
    info = replace(read_info(weights), tail=TAIL)
    write_thresholds(tmp_path / "t.json", weights, "default", Calibrated([], None, None, TAIL))
    assert read_thresholds(tmp_path / "t.json", weights, info).tail == TAIL
    write_thresholds(tmp_path / "t.json", weights, "default", Calibrated([], None))
    assert read_thresholds(tmp_path / "t.json", weights, info).tail is None
    write_thresholds(tmp_path / "t.json", weights, "default", Calibrated([], None, None, replace(TAIL, scale=-1.0)))
    with pytest.raises(DataError, match="no thresholds"):
        read_thresholds(tmp_path / "t.json", weights, info)


def test_weights_without_one_or_with_too_few_people_say_what_to_do() -> None:
    info = replace(read_info("default"), tail=TAIL)
    assert info.search_threshold(1e-5) == TAIL.cosine(1e-5)
    with pytest.raises(WeightsError, match=r"1e-07: 400 people .* about 1,600; calibrate .* --fpir, .* --threshold"):
        info.search_threshold(1e-7)
    with pytest.raises(WeightsError, match="no tail of impostor cosines; calibrate"):
        replace(info, tail=None).search_threshold(1e-3)
    assert np.isfinite(info.search_threshold(0.1))


def test_the_ratio_in_a_search_is_that_of_two_densities_where_it_says_more_than_the_line() -> None:
    tail = Tail(0.4, 0.01, 0.0, 0.05, "them", 10**6, 500, ((1e-4, 5e-5, 2e-4),))
    line = Likelihood(10.0, -4.0, 0.1, 0.1, "them", 100, 100)
    thresholds = [Threshold(1e-3, 0.5, "them", 10**6, 0.9), Threshold(1e-4, 0.6, "them", 10**6, 0.8)]
    info = replace(read_info("dlib"), thresholds=thresholds, likelihood=line, tail=tail)
    # Genuine pairs: (0.9 - 0.8) / (0.6 - 0.5) = 1 per unit of cosine. Impostors at 0.6: 0.01 / 0.05 * exp(-4).
    assert info.search_log_ratio(0.6) == pytest.approx(math.log(1 / (0.2 * math.exp(-4))))
    assert info.search_log_ratio(0.3) == pytest.approx(-1.0)  # the line, below the tail
    # Beyond the cosine with a rate of 1e-8, 0.4 + 0.05 log(1e6) = 1.09, it grows no more than the line does.
    assert info.search_log_ratio(1.1) == pytest.approx(math.log(1 / (0.2 * 1e-6)))
    for less in ({"tail": None}, {"thresholds": thresholds[:1]}):
        assert replace(info, **less).search_log_ratio(0.6) == pytest.approx(2.0)
    assert replace(info, likelihood=None).search_log_ratio(0.6) is None
