from __future__ import annotations

import numpy as np
import pytest

from facever.metrics import tar_at_far
from facever.metrics.bootstrap import People, WeightedRates, bootstrap, correct_decisions, interval, resampled_weights


def scored(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    same = np.arange(n) % 2 == 0
    return np.where(same, 0.6, 0.2) + generator.normal(size=n) * 0.2, same


def test_a_pair_counts_as_often_as_its_people_were_drawn() -> None:
    people = People(np.array([0, 0, 1]), np.array([0, 1, 2]), 3)
    for weights in resampled_weights(people, 50):
        genuine, first, second = weights
        # w0, w0 w1, w1 w2 with w0 + w1 + w2 = 3.
        w0 = genuine
        w1 = first / w0 if w0 else None
        if w1:
            assert w0 + w1 + second / w1 == 3


def test_the_same_name_is_the_same_person_on_both_sides() -> None:
    people = People.of(["ann", "bob"], ["bob", "cid"])
    assert people.count == 3
    assert people.b[0] == people.a[1]


@pytest.mark.parametrize("far", [0.3, 0.1, 0.02, 0.005])
def test_weights_of_one_give_the_plain_rates(far: float) -> None:
    cosines, same = scored()
    cosines = np.round(cosines, 2)  # with ties
    accuracy, tar = WeightedRates(cosines, same, (cosines >= 0.4) == same, (far,))(np.ones(400))
    assert accuracy == np.mean((cosines >= 0.4) == same)
    assert tar == pytest.approx(tar_at_far(cosines[same], cosines[~same], far))


def test_whole_weights_equal_repeated_pairs() -> None:
    cosines, same = scored()
    weights = np.random.default_rng(1).integers(0, 4, 400).astype(float)
    correct = (cosines >= 0.4) == same
    repeated = np.repeat(np.arange(400), weights.astype(int))
    expected = WeightedRates(cosines[repeated], same[repeated], correct[repeated], (0.1,))(np.ones(len(repeated)))
    assert WeightedRates(cosines, same, correct, (0.1,))(weights) == pytest.approx(expected)


def test_a_replicate_without_impostors_gives_no_number() -> None:
    cosines, same = scored()
    assert np.isnan(WeightedRates(cosines, same, same, (0.1,))(same.astype(float))).all()


def test_the_interval_of_a_mean_over_independent_people_is_the_one_of_theory() -> None:
    # 400 people with a pair each, right with probability 0.8: standard error 0.02, 95 % interval +- 0.039.
    right = np.arange(400) % 5 != 0
    people = People(np.arange(400), np.arange(400), 400)
    [(low, high)] = bootstrap(people, lambda w: [float(w[right].sum() / w.sum())], 2000)
    assert low == pytest.approx(0.8 - 0.039, abs=0.006)
    assert high == pytest.approx(0.8 + 0.039, abs=0.006)


def test_pairs_of_few_people_have_wider_intervals_than_pairs_of_many() -> None:
    right = np.random.default_rng(0).random(20) < 0.7  # whole people are easy or hard

    def width(of_person: np.ndarray, count: int) -> float:
        outcome = right[np.repeat(np.arange(20), 20)]
        [(low, high)] = bootstrap(People(of_person, of_person, count), lambda w: [float(w[outcome].sum() / w.sum())])
        return high - low

    assert width(np.repeat(np.arange(20), 20), 20) > 2 * width(np.arange(400), 400)


def test_the_interval_is_that_of_the_quantiles_and_ignores_what_is_no_number() -> None:
    values = np.append(np.arange(1001.0), np.nan)
    assert interval(values) == pytest.approx((25.0, 975.0))
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_decisions_use_the_threshold_of_their_fold() -> None:
    cosines = np.array([0.5, 0.5, 0.5, 0.5])
    same = np.array([True, False, True, False])
    right = correct_decisions(cosines, same, np.array([3, 3, 7, 7]), np.array([0.4, 0.6]))
    assert right.tolist() == [True, False, False, True]
