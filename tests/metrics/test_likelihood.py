from __future__ import annotations

import math

import numpy as np
import pytest

from facever.errors import DataError
from facever.metrics.likelihood import cllr, fit_likelihood, min_cllr
from facever.weights.records import Likelihood


def test_two_normal_distributions_give_back_their_true_line() -> None:
    # Means 0.6 and 0.1, deviation 0.15: log LR = (0.6 - 0.1) / 0.15^2 (x - 0.35) = 22.2 x - 7.78.
    generator = np.random.default_rng(0)
    fitted = fit_likelihood(generator.normal(0.6, 0.15, 20000), generator.normal(0.1, 0.15, 50000), "made up")
    assert fitted.slope == pytest.approx(0.5 / 0.15**2, rel=0.03)
    assert -fitted.offset / fitted.slope == pytest.approx(0.35, abs=0.005)
    assert (fitted.genuine_pairs, fitted.impostor_pairs, fitted.source) == (20000, 50000, "made up")


def test_the_probability_follows_bayes() -> None:
    line = Likelihood(10.0, -5.0, 0, 0, "", 1, 1)
    assert line.probability(0.5, 0.5) == pytest.approx(0.5)  # LR 1 leaves the prior
    assert line.probability(0.5, 0.01) == pytest.approx(0.01)
    ratio = math.exp(2)  # at 0.7
    assert line.probability(0.7, 0.2) == pytest.approx(ratio * 0.2 / (ratio * 0.2 + 0.8))
    for prior in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="prior"):
            line.probability(0.5, prior)


def test_extreme_ratios_do_not_overflow() -> None:
    line = Likelihood(1e6, 0.0, 0, 0, "", 1, 1)
    assert line.probability(1.0, 0.5) == pytest.approx(1.0)
    assert line.probability(-1.0, 0.5) == pytest.approx(0.0)


def test_cllr_by_hand() -> None:
    zero = np.zeros(3)
    assert cllr(zero, zero) == pytest.approx(1.0)  # says nothing
    # Genuine with LR 3: log2(1 + 1/3); impostor with LR 1/7: log2(1 + 1/7).
    expected = (math.log2(4 / 3) + math.log2(8 / 7)) / 2
    assert cllr(np.log([3.0]), np.log([1 / 7])) == pytest.approx(expected)


def test_min_cllr_by_hand() -> None:
    assert min_cllr(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == pytest.approx(0.0)
    assert min_cllr(np.array([0.5]), np.array([0.5])) == pytest.approx(1.0)
    # 0.1 i, 0.5 g, 0.5 i, 0.9 g: the tied pair has LR 1 and costs a bit each, the others nothing: (1/2 + 1/2) / 2.
    assert min_cllr(np.array([0.5, 0.9]), np.array([0.1, 0.5])) == pytest.approx(0.5)


def test_no_line_beats_the_best_monotone_map() -> None:
    generator = np.random.default_rng(1)
    genuine, impostor = generator.normal(0.5, 0.1, 300) ** 3, generator.normal(0.3, 0.1, 900) ** 3
    fitted = fit_likelihood(genuine, impostor, "")
    assert 0 < fitted.min_cllr <= fitted.cllr < 1


def test_the_number_of_impostors_does_not_move_the_line() -> None:
    generator = np.random.default_rng(2)
    genuine, impostor = generator.normal(0.6, 0.2, 500), generator.normal(0.1, 0.2, 500)
    once, ten_times = (fit_likelihood(genuine, np.tile(impostor, k), "") for k in (1, 10))
    assert ten_times.slope == pytest.approx(once.slope, rel=1e-3)
    assert ten_times.offset == pytest.approx(once.offset, rel=1e-3)


def test_labels_the_wrong_way_round_are_noticed() -> None:
    with pytest.raises(DataError, match="check the labels"):
        fit_likelihood(np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8, 0.9]), "")


def test_scores_that_stand_for_several_pairs_equal_the_pairs_written_out() -> None:
    generator = np.random.default_rng(4)
    genuine, impostor = generator.normal(0.6, 0.2, 40), generator.normal(0.1, 0.2, 60)
    g, i = generator.integers(1, 5, 40), generator.integers(1, 5, 60)
    by_counts = fit_likelihood(genuine, impostor, "s", g, i)
    written_out = fit_likelihood(np.repeat(genuine, g), np.repeat(impostor, i), "s")
    assert by_counts.slope == pytest.approx(written_out.slope, rel=1e-3)
    assert by_counts.offset == pytest.approx(written_out.offset, rel=1e-3)
    assert (by_counts.cllr, by_counts.min_cllr) == pytest.approx((written_out.cllr, written_out.min_cllr), abs=1e-6)
    assert (by_counts.genuine_pairs, by_counts.impostor_pairs) == (g.sum(), i.sum())
