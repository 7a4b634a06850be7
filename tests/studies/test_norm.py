"""The arithmetic of the studies, against naive loops and values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from facever.datasets.pairs import Pair
from facever.losses import alpha_lower_bound
from facever.metrics.bootstrap import People, bootstrap
from facever.metrics.discard import CURVE_SHARES, DiscardCurve, gain_of
from facever.studies.alpha import CLASSES, models_of, people_difference, theory
from facever.studies.degradations import DEGRADATIONS
from facever.studies.intervals import Bootstrapped
from facever.studies.losses import beyond, by_rank
from facever.studies.norm_bins import BinnedPairs, bins_of
from facever.studies.simplex import (
    axis_directions,
    bound_probability,
    measured_probabilities,
    probabilities,
    simplex_directions,
    simplex_probability,
)
from facever.studies.testing import drawn_pairs

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_a_simplex_has_unit_corners_of_equal_and_least_cosines(classes: int) -> None:
    cosines = simplex_directions(classes) @ simplex_directions(classes).T
    expected = np.full((classes, classes), -1 / (classes - 1)) + np.eye(classes) * (1 + 1 / (classes - 1))
    np.testing.assert_allclose(cosines, expected, atol=1e-12)


@pytest.mark.parametrize(("classes", "alpha"), [(3, 0.5), (10, 4.28), (100, 8.0)])
def test_the_structure_of_a_simplex_gives_what_torchs_softmax_gives_on_its_directions(
    classes: int, alpha: float
) -> None:
    directions = torch.from_numpy(simplex_directions(classes))
    expected = torch.softmax(alpha * directions @ directions.T, dim=1).diagonal().mean().item()
    assert simplex_probability(classes, alpha) == pytest.approx(expected, rel=1e-9)
    assert measured_probabilities(directions.numpy(), [alpha]) == pytest.approx([expected], rel=1e-9)


def test_the_probability_says_how_it_was_had() -> None:
    assert probabilities(300, [9.0])[1] == "explicit"
    (value,), how = probabilities(100_000, [13.7])
    assert how == "structure"
    # 1 / (1 + 99,999 e^(-13.700137)): by hand.
    assert value == pytest.approx(1 / (1 + 99_999 * math.exp(-13.7 * 100_000 / 99_999)), rel=1e-12)


def test_the_bound_turned_round_gives_p_back_and_no_arrangement_stays_far_below_it() -> None:
    told = theory()
    assert [record["classes"] for record in told["classes"]] == list(CLASSES)
    for record in told["classes"]:
        low = alpha_lower_bound(record["classes"], told["p"])
        assert record["alpha_low"] == low
        assert bound_probability(record["classes"], low) == pytest.approx(0.9, rel=1e-9)
        assert record["measured_at_alpha_low"] == pytest.approx(0.9, abs=0.03 if record["classes"] == 10 else 0.006)
        assert np.all(np.diff(record["measured"]) > 0)
    # The arrangement of the paper: the bound leaves out the one opposite direction, with its e^(-2 alpha).
    low = alpha_lower_bound(10)
    expected = 1 / (1 / 0.9 + math.exp(-2 * low))
    assert measured_probabilities(axis_directions(10), [low]) == pytest.approx([expected], rel=1e-9)
    assert told["classes"][0]["axes_at_alpha_low"] == pytest.approx(expected, rel=1e-9)


def naive_frr(quality: np.ndarray, rejected: np.ndarray, share: float) -> float:
    """Of pairs of distinct quality, where a share is a whole number of them."""
    order = sorted(range(len(quality)), key=lambda i: -quality[i])
    kept = order[: round(len(order) * (1 - share))]
    return sum(bool(rejected[i]) for i in kept) / len(kept)


def test_the_discard_curve_is_that_of_a_naive_loop() -> None:
    quality, rejected = RNG.permutation(40).astype(float), RNG.random(40) < 0.3
    curve = DiscardCurve(quality, rejected).curve()
    assert curve == pytest.approx([naive_frr(quality, rejected, share) for share in CURVE_SHARES])


def test_weights_count_pairs_several_times_or_not_at_all() -> None:
    quality, rejected = RNG.permutation(20).astype(float), RNG.random(20) < 0.4
    weights = RNG.integers(0, 3, 20)
    repeated = np.repeat(np.arange(20), weights)
    expected = DiscardCurve(quality[repeated], rejected[repeated]).curve()
    assert DiscardCurve(quality, rejected).curve(weights.astype(float)) == pytest.approx(expected)


def test_a_perfect_quality_gains_and_a_useless_one_does_not() -> None:
    rejected = np.repeat([True, False], [25, 75])
    perfect = DiscardCurve((~rejected).astype(float), rejected)
    # From 0.25 the FRR falls to 0 when a quarter is discarded: (0.25 - s) / (1 - s) at s < 0.25, then 0.
    shares = CURVE_SHARES[CURVE_SHARES <= 0.5]
    expected = 0.25 - np.mean([max(0.0, (0.25 - s) / (1 - s)) for s in shares])
    assert gain_of(perfect.curve()) == pytest.approx(expected)
    assert gain_of(DiscardCurve(np.zeros(100), rejected).curve()) == pytest.approx(0)  # all alike: a tie, kept in part
    assert gain_of(DiscardCurve(rejected.astype(float), rejected).curve()) < 0


def test_bins_hold_as_many_each_and_rise_with_the_values() -> None:
    values = RNG.permutation(30).astype(float)
    assert bins_of(values, 3).tolist() == [int(value // 10) for value in values]
    assert np.bincount(bins_of(np.zeros(9), 3)).tolist() == [3, 3, 3]


def test_balanced_accuracy_by_bins_is_that_of_a_naive_loop() -> None:
    n = 200
    low = RNG.integers(0, 3, n)
    high = np.maximum(low, RNG.integers(0, 3, n))
    same, accepted = RNG.random(n) < 0.5, RNG.random(n) < 0.6
    found = BinnedPairs(low, high, same, accepted, 3).accuracy()
    for i in range(3):
        for j in range(3):
            cell = [(s, a) for x, y, s, a in zip(low, high, same, accepted, strict=True) if (x, y) == (i, j)]
            genuine, impostor = [a for s, a in cell if s], [a for s, a in cell if not s]
            if not cell:
                assert j < i and math.isnan(found[i, j])
                continue
            expected = (sum(genuine) / len(genuine) + 1 - sum(impostor) / len(impostor)) / 2
            assert found[i, j] == pytest.approx(expected)


CROPS = RNG.integers(60, 200, (3, 64, 56, 3), np.uint8)


def test_the_first_step_of_each_spoiling_changes_nothing_and_later_ones_more_and_more() -> None:
    for degradation in DEGRADATIONS:
        np.testing.assert_array_equal(degradation.change(CROPS, degradation.steps[0]), CROPS)
        harm = [np.abs(degradation.change(CROPS, step).astype(float) - CROPS).mean() for step in degradation.steps]
        assert np.all(np.diff(harm) > 0), degradation.name
        assert degradation.change(CROPS, degradation.steps[-1]).dtype == np.uint8


def test_each_spoiling_does_what_its_name_says() -> None:
    blur, noise, shrink, dim = DEGRADATIONS
    inside = (slice(None), slice(12, -12), slice(12, -12))
    expected = gaussian_filter(CROPS.astype(float), (0, 2, 2, 0), truncate=4)
    assert np.abs(blur.change(CROPS, 2.0)[inside] - expected[inside]).max() < 1.5
    gray = np.full((2, 64, 56, 3), 128, np.uint8)
    assert np.std(noise.change(gray, 20.0)) == pytest.approx(20, rel=0.03)
    # Half the side and up again keeps the mean of each crop, and little of white noise.
    small = shrink.change(CROPS, 0.5)
    assert small.mean((1, 2)) == pytest.approx(CROPS.mean((1, 2)), abs=1.5)
    assert small.std() < 0.6 * CROPS.std()
    assert dim.change(gray, 0.3) == pytest.approx(np.full(gray.shape, 38))


def test_the_difference_of_models_counts_pairs_and_draws_people() -> None:
    pairs = [Pair(f"{i}a", f"{i}b", True, 0, f"p{i // 4}", f"p{i // 4}") for i in range(40)]  # type: ignore[arg-type]
    better, worse = np.ones(40, bool), np.arange(40) % 4 != 0
    gap, (low, high) = people_difference([better], [worse], pairs)
    assert gap == pytest.approx(0.25)
    # Each person has the same gap, so whoever is drawn, it is the same.
    assert (low, high) == pytest.approx((0.25, 0.25))
    uneven = np.arange(40) >= 20  # half of the people all wrong, half all right
    gap, (low, high) = people_difference([better, better], [uneven, better], pairs)
    assert gap == pytest.approx(0.25)
    # A share of 10 people, half of it counted: standard error sqrt(0.5 · 0.5 / 10) / 2.
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.025) / 2, rel=0.15)


def test_drawn_pairs_are_distinct_of_both_kinds_alike_and_fill_the_folds() -> None:
    names = [f"p{i // 5}" for i in range(50)]
    pairs = drawn_pairs([f"{i}" for i in range(50)], names, seed=3, count=60)  # type: ignore[misc]
    assert len({(pair.path_a, pair.path_b) for pair in pairs}) == 120
    assert sum(pair.same for pair in pairs) == 60
    assert all((pair.identity_a == pair.identity_b) == pair.same for pair in pairs)
    for fold in range(10):
        assert sum(pair.fold == fold and pair.same for pair in pairs) == 6
        assert sum(pair.fold == fold and not pair.same for pair in pairs) == 6


def test_the_sweep_goes_on_beyond_an_end_and_stops_inside() -> None:
    assert beyond({0.03: 0.1, 0.1: 0.2, 0.3: 0.3}, 3.0) == 0.9
    assert beyond({0.03: 0.3, 0.1: 0.2, 0.3: 0.1}, 3.0) == 0.01
    assert beyond({0.03: 0.1, 0.1: 0.3, 0.3: 0.2}, 3.0) is None
    assert by_rank({0.3: 0.5, 0.1: 0.5, 0.03: 0.2, 0.9: 0.0}) == [0.1, 0.3, 0.03]


def test_learned_alphas_start_where_they_should_with_and_without_decay() -> None:
    models = models_of((1.0, 16.0), (4.0, 64.0))
    assert list(models)[:3] == ["softmax", "alpha 1", "alpha 16"]
    learned = {name: own for name, own in models.items() if own.get("alpha_learned")}
    assert [own["alpha"] for own in learned.values()] == [4.0, 4.0, 64.0, 64.0]
    assert [own.get("alpha_decay") for own in learned.values()] == [None, 0.0, None, 0.0]


def test_draws_of_the_same_people_are_paired_and_agree_with_the_bootstrap() -> None:
    """A share that is the same plus 0.1 in each draw differs by exactly 0.1, however much it varies itself."""
    people = People.of([f"p{i // 3}" for i in range(60)], [f"p{i // 3}" for i in range(60)])
    values = (RNG.random(60) < 0.5).astype(float)

    def mean(weights: np.ndarray | None) -> float:
        return float(np.average(values, weights=weights))

    first = Bootstrapped.of(people, mean, 50)
    second = Bootstrapped.of(people, lambda weights: mean(weights) + 0.1, 50)
    assert first.number == pytest.approx(values.mean())
    (expected,) = bootstrap(people, lambda weights: [mean(weights)], 50)
    assert first.ci95 == pytest.approx(expected)
    assert first.ci95[1] - first.ci95[0] > 0.05
    assert (second - first).number == pytest.approx(0.1)
    assert (second - first).ci95 == pytest.approx((0.1, 0.1))


def test_a_band_and_a_change_are_taken_draw_by_draw() -> None:
    draws = np.stack([np.arange(101.0), 2 * np.arange(101.0)], axis=1)  # (replicates, 2)
    drawn = Bootstrapped(np.array([50.0, 100.0]), draws)
    low, high = drawn.band()
    assert (low.tolist(), high.tolist()) == ([2.5, 5.0], [97.5, 195.0])
    second = drawn.then(lambda values: values[..., 1])
    assert (second.number, second.ci95) == (100.0, pytest.approx((5.0, 195.0)))
