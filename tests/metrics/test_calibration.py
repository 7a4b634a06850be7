from __future__ import annotations

import numpy as np
import pytest
from samples import people

from facever.errors import DataError
from facever.metrics import pairwise_cosines, tar_at_far
from facever.metrics.all_pairs import BINS
from facever.metrics.bootstrap import People
from facever.metrics.calibration import calibration_of_pairs, calibration_of_people
from facever.metrics.likelihood import fit_likelihood
from facever.scoring import threshold_at_far


@pytest.mark.slow
def test_thresholds_of_people_are_those_of_their_explicit_pairs_to_a_bin() -> None:
    embeddings, who = people()  # 242,000 impostor pairs: enough for 1e-4
    names = [f"p{i:03d}" for i in who]
    found = calibration_of_people(embeddings, names, "some people", (1e-2, 1e-3, 1e-4, 1e-5), replicates=200)
    genuine, impostor = pairwise_cosines(embeddings, who)
    assert [t.far for t in found.thresholds] == [1e-2, 1e-3, 1e-4]
    for threshold in found.thresholds:
        exact = threshold_at_far(impostor, threshold.far)
        assert exact - 1e-6 <= threshold.cosine <= exact + 2 / BINS
        assert threshold.tar == pytest.approx(tar_at_far(genuine, impostor, threshold.far), abs=0.003)
        assert (threshold.source, threshold.impostor_pairs) == ("some people", len(impostor))
        low, high = threshold.cosine_interval or (1, -1)
        assert low < threshold.cosine < high
        least, most = threshold.far_interval or (1, 0)
        assert least < threshold.far < most
    # Rarer accepts are known less well.
    spread = [(t.far_interval or (0, 0))[1] / (t.far_interval or (1, 0))[0] for t in found.thresholds]
    assert spread[0] < spread[1] < spread[2]


def test_the_likelihood_of_people_is_that_of_their_explicit_scores() -> None:
    embeddings, who = people(300, 40)
    found = calibration_of_people(embeddings, [f"p{i}" for i in who], "s", (0.1,), replicates=20).likelihood
    expected = fit_likelihood(*pairwise_cosines(embeddings, who), "s")
    assert found is not None
    assert found.slope == pytest.approx(expected.slope, rel=1e-3)
    assert found.offset == pytest.approx(expected.offset, rel=1e-3)
    assert (found.cllr, found.min_cllr) == pytest.approx((expected.cllr, expected.min_cllr), abs=1e-3)
    assert (found.genuine_pairs, found.impostor_pairs) == (expected.genuine_pairs, expected.impostor_pairs)


def test_a_rate_beyond_the_pairs_says_what_it_takes() -> None:
    embeddings, who = people(100, 50)
    found = calibration_of_people(embeddings, [f"p{i:02d}" for i in who], "s", (1e-2, 1e-4), replicates=10)
    impostors = 100 * 99 // 2 - int((np.bincount(who) * (np.bincount(who) - 1) // 2).sum())
    (text,) = found.unsupported.values()
    count = len(set(who))
    # Pairs grow with the square of the people.
    needed = next(n for n in range(10_000) if n * n * impostors >= 100_000 * count * count)
    assert str(text) == (
        f"FAR 0.0001 needs 100,000 pairs of different people, and there are {impostors:,} of {count} people; "
        f"{needed} people with as many photographs each would do"
    )
    assert [t.far for t in found.thresholds] == [1e-2]


def test_where_no_default_rate_is_supported_the_rarest_that_is_is_calibrated() -> None:
    embeddings, who = people(40, 10)
    found = calibration_of_people(embeddings, [f"p{i}" for i in who], "s", replicates=10)
    impostors = 40 * 39 // 2 - int((np.bincount(who) * (np.bincount(who) - 1) // 2).sum())
    (threshold,) = found.thresholds
    assert threshold.far * impostors >= 10 > (threshold.far - 0.01) * impostors
    assert list(found.unsupported) == [1e-2, 1e-3, 1e-4]
    few = calibration_of_people(embeddings[:12], [f"p{i}" for i in who[:12]], "s")
    assert (few.thresholds, max(few.unsupported)) == ([], 0.1)


def test_without_a_genuine_pair_there_is_no_threshold() -> None:
    embeddings, _ = people(60, 60)
    found = calibration_of_people(embeddings, [str(i) for i in range(60)], "s", (1e-2,))
    assert (found.thresholds, found.likelihood) == ([], None)
    assert "it needs genuine pairs too, and there are none" in str(found.unsupported[1e-2])
    alone = calibration_of_people(embeddings, ["one"] * 60, "s", (1e-2,))
    assert (alone.thresholds, alone.likelihood) == ([], None)


def test_listed_pairs_give_the_exact_threshold_and_intervals_over_their_people() -> None:
    generator = np.random.default_rng(0)
    same = np.arange(4000) % 2 == 0
    cosines = np.where(same, 0.6, 0.1) + 0.15 * generator.normal(size=4000)
    a = generator.integers(0, 300, 4000)
    b = np.where(same, a, (a + generator.integers(1, 300, 4000)) % 300)
    found = calibration_of_pairs(cosines, same, People(a, b, 300), "a list", (1e-2, 1e-3), replicates=300)
    (threshold,) = found.thresholds
    assert threshold.cosine == threshold_at_far(cosines[~same], 1e-2)
    assert threshold.tar == tar_at_far(cosines[same], cosines[~same], 1e-2)
    low, high = threshold.cosine_interval or (1, -1)
    assert low < threshold.cosine < high
    assert str(found.unsupported[1e-3]) == "FAR 0.001 needs 10,000 pairs of different people, and there are 2,000"
    # Normal scores of equal spread: log LR is linear, slope (0.6 - 0.1) / 0.15², zero midway.
    assert found.likelihood is not None
    assert found.likelihood.slope == pytest.approx(0.5 / 0.15**2, rel=0.1)
    assert -found.likelihood.offset / found.likelihood.slope == pytest.approx(0.35, abs=0.01)


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, float("nan")])
def test_what_is_no_rate_is_refused(far: float) -> None:
    embeddings, who = people(30, 5)
    with pytest.raises(DataError, match="out of range"):
        calibration_of_people(embeddings, [str(i) for i in who], "s", (far,))


def test_embeddings_that_are_no_numbers_are_counted() -> None:
    embeddings, who = people(30, 5)
    embeddings[[3, 7]] = np.nan
    with pytest.raises(DataError, match="2 of 30 embeddings are not finite"):
        calibration_of_people(embeddings, [str(i) for i in who], "s")
