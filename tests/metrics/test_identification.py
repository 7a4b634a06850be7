from __future__ import annotations

import numpy as np
import pytest

from facever.metrics.identification import Searches, cmc, fnir, search_figures, threshold_at_fpir


def searches(u: int = 2000, m: int = 600, seed: int = 0) -> Searches:
    generator = np.random.default_rng(seed)
    own, top = generator.normal(0.7, 0.1, m), generator.normal(0.4, 0.05, u)
    ranks = np.where(generator.random(m) < 0.9, 1, 3)
    return Searches(50, own, ranks, np.arange(m) % 200, top, np.arange(u) % 500)


def test_rates_are_shares_counted_by_hand() -> None:
    asked = searches()
    top = np.sort(asked.top)[::-1]
    threshold = threshold_at_fpir(asked.top, 0.01)
    assert threshold is not None
    assert np.sum(asked.top >= threshold) == 20  # one in a hundred of 2,000
    assert top[19] >= threshold > top[20]
    assert fnir(asked.own, threshold) == np.mean(asked.own < threshold)
    assert cmc(asked.ranks, 3) == [np.mean(asked.ranks == 1), np.mean(asked.ranks == 1), 1.0]


def test_a_rate_needs_ten_expected_false_positives() -> None:
    assert threshold_at_fpir(searches().top, 0.003) is None
    found = search_figures(searches(), (None, 0.5, 0.5), replicates=20)
    assert [point.threshold is None for point in found.points] == [False, False, True]
    assert found.points[2].fnir is found.points[2].fnir_interval is None
    assert found.points[2].promised_fpir == pytest.approx(float(np.mean(searches().top >= 0.5)))
    assert found.points[0].promised_threshold is found.points[0].promised_fpir is None


def test_intervals_hold_the_figures_and_the_promise_is_measured() -> None:
    asked = searches()
    found = search_figures(asked, (0.45, 0.5, None), replicates=300)
    assert (found.people, found.mated, found.unmated) == (50, 600, 2000)
    low, high = found.rank_1_interval
    assert low < found.cmc[0] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 600), rel=0.35)
    point = found.points[1]
    assert point.fnir_interval is not None
    assert point.fnir_interval[0] <= point.fnir <= point.fnir_interval[1]
    assert point.promised_fpir == np.mean(asked.top >= 0.5)
    assert point.promised_fnir == np.mean(asked.own < 0.5)
    assert point.promised_fpir_interval[0] < point.promised_fpir < point.promised_fpir_interval[1]
