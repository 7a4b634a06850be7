"""Three answers, counted, and errors beside what is left undecided."""

from __future__ import annotations

import numpy as np
import pytest

from facever.metrics.all_pairs import all_pairs
from facever.metrics.decisions import decisions_of, decisions_of_all, undecided_curve
from facever.scoring import Bounds

BOUNDS = Bounds(0.5, 0.3, 1e-3, 0.02)


def test_each_pair_is_counted_once_by_kind_and_decision() -> None:
    cosines = np.array([0.9, 0.5, 0.49, 0.3, 0.29, 0.6, 0.4, 0.1, 0.0, -1.0])
    same = np.array([True] * 5 + [False] * 5)
    answerable = np.ones(10, bool)
    answerable[9] = False
    found = decisions_of(cosines, same, answerable, BOUNDS)
    assert (found.genuine, found.genuine_same, found.genuine_different) == (5, 2, 1)
    assert (found.impostor, found.impostor_same, found.impostor_different) == (5, 1, 2)
    assert (found.undecided_genuine, found.undecided_impostor) == (pytest.approx(2 / 5), pytest.approx(2 / 5))
    assert (found.frr_of_decided, found.far_of_decided) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    told = found.to_json()
    assert told["bounds"] == {"threshold": 0.5, "lower_threshold": 0.3, "far": 1e-3, "frr": 0.02}
    assert told["far_of_decided"] == found.far_of_decided


def test_where_nothing_is_decided_nothing_is_wrong() -> None:
    found = decisions_of(np.array([0.9, 0.1]), np.array([True, False]), np.zeros(2, bool), BOUNDS)
    assert (found.undecided_genuine, found.undecided_impostor) == (1, 1)
    assert (found.far_of_decided, found.frr_of_decided) == (0, 0)


def test_all_pairs_are_counted_as_a_list_of_them_is() -> None:
    generator = np.random.default_rng(0)
    who = np.repeat(np.arange(12), 4)
    vectors = generator.standard_normal((12, 8))[who] + 0.6 * generator.standard_normal((48, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    good = generator.random(48) < 0.8
    i, j = np.triu_indices(48, 1)
    # Bounds on edges of bins, where the histogram is exact.
    bounds = Bounds(0.5, 0.25, 1e-3, 0.02)
    listed = decisions_of(np.sum(vectors[i] * vectors[j], 1, np.float64), who[i] == who[j], good[i] & good[j], bounds)
    every, answerable = (all_pairs(vectors[rows], who[rows], closest=0) for rows in (slice(None), good))
    assert decisions_of_all(every, answerable, bounds) == listed
    assert listed.genuine_same > 0 and listed.impostor_different > 0


def test_errors_fall_as_the_band_widens() -> None:
    # Around 0.5: a genuine pair at 0.4 and an impostor at 0.6 are wrong, and inside a band of 0.1.
    cosines = np.array([0.4, 0.7, 0.8, 0.6, 0.2, 0.1])
    same = np.array([True, True, True, False, False, False])
    undecided, error = undecided_curve(cosines, same, np.ones(6), 0.5, points=3)  # half widths 0, 0.15, 0.3
    assert undecided == pytest.approx([0, 1 / 3, 1 / 2 + (1 / 3 - 1 / 2) / 2 + 1 / 12], abs=0.2)
    assert undecided[0] == 0
    assert undecided[1] == pytest.approx(1 / 3)
    assert error[0] == pytest.approx(1 / 3)
    assert error[1] == 0
    assert (np.diff(undecided) >= 0).all()


def test_pairs_count_by_their_weights() -> None:
    cosines, same = np.array([0.4, 0.8, 0.6, 0.1]), np.array([True, True, False, False])
    _, error = undecided_curve(cosines, same, np.array([1.0, 3.0, 1.0, 9.0]), 0.5, points=2)
    assert error[0] == pytest.approx((1 / 4 + 1 / 10) / 2)
