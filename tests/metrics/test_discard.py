from __future__ import annotations

import itertools

import numpy as np
import pytest
from samples import people

from facever.metrics import discard
from facever.metrics.discard import RemainingPairs, remaining_pairs_of_list, remaining_pairs_of_people

CUTS = np.array([0.0, 0.2, 0.5, 0.9])


def by_hand(embeddings: np.ndarray, who: np.ndarray, quality: np.ndarray, threshold: float) -> tuple[list, list]:
    """(pairs, rejected) by person and cut, one pair at a time."""
    names = sorted(set(who.tolist()))
    pairs, rejected = ([[0] * len(CUTS) for _ in names] for _ in range(2))
    for i, j in itertools.combinations(range(len(who)), 2):
        if who[i] == who[j]:
            for cut, least in enumerate(CUTS):
                if quality[i] >= least and quality[j] >= least:
                    pairs[names.index(who[i])][cut] += 1
                    rejected[names.index(who[i])][cut] += float(embeddings[i] @ embeddings[j]) < threshold
    return pairs, rejected


@pytest.mark.parametrize("rows", [3, 512])
def test_the_pairs_left_are_those_of_a_naive_count(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discard, "ROWS", rows)  # so that a person's pairs spread over several products
    embeddings, who = people(150, 12, seed=4)
    quality = np.random.default_rng(5).random(150).round(2)  # with ties, and with values on a cut
    quality[:3] = CUTS[1:]
    left = remaining_pairs_of_people(embeddings, who, quality, CUTS, 0.45)
    pairs, rejected = by_hand(embeddings, who, quality, 0.45)
    assert left.pairs.tolist() == pairs
    assert left.rejected.tolist() == rejected
    assert 0 < left.rejected.sum() < left.pairs.sum()


def test_listed_pairs_are_counted_alike() -> None:
    # Person 0: pairs of quality 0.1 (rejected), 0.2, 0.95; person 7: one of 0.6 (rejected).
    left = remaining_pairs_of_list(
        np.array([True, False, False, True]), np.array([0, 0, 0, 7]), np.array([0.1, 0.2, 0.95, 0.6]), CUTS
    )
    assert left.pairs.tolist() == [[3, 2, 1, 1], [1, 1, 1, 0]]
    assert left.rejected.tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]
    np.testing.assert_allclose(left.frr(), [2 / 4, 1 / 3, 1 / 2, 0])


def test_where_no_pair_is_left_there_is_no_rate() -> None:
    left = remaining_pairs_of_list(np.array([True]), np.array([0]), np.array([0.3]), CUTS)
    np.testing.assert_array_equal(left.frr(), [1, 1, np.nan, np.nan])


def test_discarding_at_random_leaves_the_rate_as_it_is() -> None:
    embeddings, who = people(600, 40, seed=1)
    generator = np.random.default_rng(2)
    cuts = np.array([0.0, 0.3])
    rates = [
        remaining_pairs_of_people(embeddings, who, generator.random(600), cuts, 0.45).frr().tolist() for _ in range(60)
    ]
    assert np.mean(rates, axis=0)[1] == pytest.approx(rates[0][0], abs=0.003)


def test_the_interval_is_that_of_people_drawn_anew() -> None:
    # Each of 400 people has four pairs, one of them rejected and discarded with chance 1/2: saved is about 1/8.
    generator = np.random.default_rng(0)
    bad = generator.integers(0, 2, 400)
    left = RemainingPairs(np.stack([np.full(400, 4), 4 - bad], 1), np.stack([bad, 0 * bad], 1))
    low, high = left.saved_interval(1)
    # The share of bad people, over four: its standard error by the formula of a binomial.
    share = bad.mean()
    error = 1.96 * np.sqrt(share * (1 - share) / 400) / 4
    assert (low, high) == pytest.approx((share / 4 - error, share / 4 + error), abs=0.002)
