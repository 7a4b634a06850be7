"""Rates of people who count several times, against the same rates of pairs that are written out."""

from __future__ import annotations

import numpy as np
import pytest
from samples import people

from facever.metrics import pairwise_cosines, tar_at_far
from facever.metrics.all_pairs import all_pairs
from facever.metrics.bootstrap import People, WeightedRates, bootstrap
from facever.metrics.operating_points import OperatingPoints, point_intervals
from facever.metrics.pair_sample import PairSample, sample_pairs
from facever.scoring import far_at_threshold, threshold_at_far

FARS = (0.1, 0.01)


def points(n: int = 300, identities: int = 40, keep: int = 1 << 16) -> tuple[OperatingPoints, np.ndarray, np.ndarray]:
    embeddings, who = people(n, identities)
    found = all_pairs(embeddings, who)
    thresholds = tuple(found.threshold_at_far(far) for far in FARS)
    genuine, impostor = sample_pairs(embeddings, who, found, keep)
    return OperatingPoints(genuine, impostor, FARS, thresholds, np.bincount(who)), embeddings, who


def test_everybody_once_gives_the_plain_rates() -> None:
    chosen, embeddings, who = points()
    thresholds, tars, fars = chosen(np.ones(40, np.int64))
    genuine, impostor = pairwise_cosines(embeddings, who)
    for k, far in enumerate(FARS):
        exact = threshold_at_far(impostor, far)  # the next float above the score that is rejected
        assert thresholds[k] == pytest.approx(exact, abs=1e-6)
        assert tars[k] == pytest.approx(tar_at_far(genuine, impostor, far), abs=1e-12)
        assert fars[k] <= far < fars[k] + 0.003


def test_people_drawn_several_times_equal_people_written_out() -> None:
    chosen, embeddings, who = points()
    drawn = np.random.default_rng(3).integers(0, 4, 40)
    _, tars, fars = chosen(drawn)
    # Each copy of a person is a person of its own for impostors, but copies of one person are no impostors.
    rows = np.concatenate([np.flatnonzero(who == p) for p in range(40) for _ in range(drawn[p])])
    copy = np.concatenate([np.full((who == p).sum(), 100 * p + c) for p in range(40) for c in range(drawn[p])])
    same_person = copy[:, None] // 100 == copy[None, :] // 100
    same_copy = copy[:, None] == copy[None, :]
    cosines = embeddings[rows] @ embeddings[rows].T
    upper = np.triu(np.ones_like(cosines, bool), 1)
    genuine, impostor = cosines[upper & same_copy], cosines[upper & ~same_person]
    for k, far in enumerate(FARS):
        assert tars[k] == pytest.approx(tar_at_far(genuine, impostor, far), abs=2e-3)  # products round otherwise
        fixed = all_pairs(embeddings, who).threshold_at_far(far)
        assert fars[k] == pytest.approx(far_at_threshold(impostor, fixed), abs=1e-4)


def test_intervals_of_a_sample_are_those_of_all_pairs_by_the_other_code() -> None:
    chosen, embeddings, who = points(keep=1500)  # 43,000 impostor pairs, so most are left out
    i, j = np.triu_indices(len(who), 1)
    cosines, same = np.einsum("nd,nd->n", embeddings[i], embeddings[j]), who[i] == who[j]
    rates = WeightedRates(cosines, same, same, FARS)
    expected = bootstrap(People(who[i], who[j], 40), rates, 200)[1:]
    found = point_intervals(chosen, 40, 200)
    for (low, high), interval in zip(expected, found, strict=True):
        width = high - low
        assert interval.tar == (pytest.approx(low, abs=0.15 * width), pytest.approx(high, abs=0.15 * width))
        assert interval.threshold[0] < interval.threshold[1]
        assert 0 < interval.far_at_fixed[0] < interval.far_at_fixed[1] < 1


def test_listed_pairs_count_as_they_stand() -> None:
    # Persons 0 and 1 have a genuine pair each, and two impostor pairs between 0, 1 and 2.
    genuine = PairSample(np.array([0.9, 0.5]), np.array([0, 1]), np.array([0, 1]), np.ones(2))
    impostor = PairSample(np.array([0.6, 0.1]), np.array([0, 1]), np.array([1, 2]), np.ones(2))
    listed = OperatingPoints(genuine, impostor, (0.3, 0.5), (0.7, 0.2))
    thresholds, tars, fars = listed(np.array([1, 1, 1]))
    assert (thresholds.tolist(), tars.tolist(), fars.tolist()) == ([0.6, 0.1], [0.5, 1.0], [0.0, 0.5])
    # Person 0 twice, person 1 once, 2 not at all: genuine 2 and 1, impostors 2 and 0.
    thresholds, tars, fars = listed(np.array([2, 1, 0]))
    assert (tars.tolist(), fars.tolist()) == ([2 / 3, 2 / 3], [0.0, 1.0])


def test_a_draw_without_impostors_gives_no_number() -> None:
    chosen, _, _ = points()
    only_one = np.bincount([5] * 40, minlength=40)
    assert all(np.isnan(values).all() for values in chosen(only_one))
