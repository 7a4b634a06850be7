from __future__ import annotations

import numpy as np
import pytest
from samples import people
from scipy.stats import genpareto

from facever.metrics.all_pairs import pairwise_cosines
from facever.metrics.bootstrap import People
from facever.metrics.calibration import calibration_of_pairs, calibration_of_people
from facever.metrics.pair_sample import PairSample
from facever.metrics.tails import TAIL_FMRS, fit_pareto, fit_tail, survival


@pytest.mark.parametrize("shape", [-0.4, -0.12, 0.001, 0.2])
def test_moments_recover_what_scipy_drew_and_agree_with_its_likelihood(shape: float) -> None:
    drawn = np.sort(genpareto.rvs(shape, scale=0.05, size=20_000, random_state=1))
    found = fit_pareto(drawn, np.ones(len(drawn)))
    assert found == pytest.approx((shape, 0.05), abs=0.03)
    likeliest, _, scale = genpareto.fit(drawn, floc=0)
    assert found == pytest.approx((likeliest, scale), abs=0.03)


def test_a_weight_counts_like_as_many_copies() -> None:
    drawn = np.sort(genpareto.rvs(-0.1, scale=0.05, size=500, random_state=2))
    times = np.random.default_rng(0).integers(1, 5, 500)
    copies = fit_pareto(np.repeat(drawn, times), np.ones(times.sum()))
    assert fit_pareto(drawn, times.astype(float)) == pytest.approx(copies, abs=1e-9)


@pytest.mark.parametrize("excesses", [[], [0.1], [0.0, 0.0]])
def test_nothing_can_be_fitted_to_no_spread(excesses: list[float]) -> None:
    assert np.isnan(fit_pareto(np.array(excesses), np.ones(len(excesses)))[0])


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_survival_is_scipy_s(shape: float) -> None:
    x = np.array([0.0, 0.01, 0.1, 0.4])
    np.testing.assert_allclose(survival(x, shape, 0.05), genpareto.sf(x, shape, scale=0.05), atol=1e-15)


def independent_pairs(count: int, seed: int = 0) -> PairSample:
    """Pairs of two people each that share nobody, one in 20 above 0.3, where their cosines are exponential."""
    cosines = 0.3 + np.random.default_rng(seed).exponential(0.05, count)
    cosines[np.arange(count) % 20 > 0] = 0.1
    numbers = np.arange(2 * count).reshape(2, -1)
    return PairSample(cosines, *numbers, np.ones(count))


def test_the_intervals_hold_the_truth_and_widen_with_the_rarity() -> None:
    tail = fit_tail(independent_pairs(10_000), 0.3, 20_000, "them", 10_000, None, replicates=50)
    assert tail is not None
    assert (tail.rate, tail.people, tail.impostor_pairs) == (0.05, 20_000, 10_000)
    assert [rate for rate, _, _ in tail.intervals] == list(TAIL_FMRS)
    spreads = []
    for rate, _, high in tail.intervals[1:5]:
        truth = 0.05 * np.exp(-(tail.cosine(rate) - 0.3) / 0.05)
        assert truth < 2 * high
        spreads.append(high / rate)
    assert spreads == sorted(spreads)
    assert tail.why_unsupported(1e-4) is None


def test_calibrations_learn_it_and_few_pairs_are_told_how_many_it_takes() -> None:
    embeddings, who = people()
    names = [str(person) for person in who]
    found = calibration_of_people(embeddings, names, "some people", (1e-2,), replicates=50)
    _, impostor = pairwise_cosines(embeddings, who)
    assert found.tail is not None
    assert found.no_tail is None
    assert np.mean(impostor >= found.tail.start) == pytest.approx(found.tail.rate, rel=0.02)
    for rate in (5e-3, 1e-3):
        assert np.mean(impostor >= found.tail.cosine(rate)) == pytest.approx(rate, rel=0.2)
    few = calibration_of_people(embeddings[:100], names[:100], "few", (0.1,), replicates=10)
    assert few.tail is None
    assert few.no_tail.startswith("the tail for search --fpir needs 10,000 pairs of different people, and there are 4,")


def test_a_list_of_pairs_gives_one_too() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.integers(0, 400, (2, 12_000))
    cosines = np.where(a == b, 0.8, generator.normal(0.1, 0.1, 12_000)) + generator.normal(0, 0.02, 12_000)
    found = calibration_of_pairs(cosines, a == b, People(a, b, 400), "a list", (1e-2,), replicates=50)
    assert found.tail is not None
    assert np.mean(cosines[a != b] >= found.tail.cosine(2e-3)) == pytest.approx(2e-3, rel=0.4)
    same = calibration_of_pairs(np.where(a == b, 0.8, 0.1), a == b, People(a, b, 400), "a list", (), replicates=5)
    assert same.tail is None
    assert "all the same" in same.no_tail
