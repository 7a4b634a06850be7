from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facever.errors import DataError
from facever.scoring import (
    checked_scores,
    cosine,
    decide,
    far_at_threshold,
    impostors_needed,
    people_needed,
    tar_at_threshold,
    threshold_at_far,
)

# Few distinct values, so that ties are common, or any value of the type.
FEW = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0])
SCORES = st.one_of(
    hnp.arrays(np.float32, st.integers(1, 60), elements=FEW | st.floats(-1, 1, width=32)),
    hnp.arrays(np.float64, st.integers(1, 60), elements=FEW | st.floats(-1, 1)),
)
FARS = st.one_of(
    st.floats(0.001, 0.999),
    st.integers(2, 60).flatmap(lambda n: st.integers(1, n - 1).map(lambda k: k / n)),
)


def test_cosine_by_hand() -> None:
    a = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]])
    b = np.array([[0.0, 1.0], [0.8, 0.6], [-0.6, -0.8]])
    np.testing.assert_allclose(cosine(a, b), [0.0, 0.96, -1.0], atol=1e-15)
    assert cosine(a[1], b[1]).shape == ()
    assert cosine(a[None], b[None]).shape == (1, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_keeps_the_type(dtype: type) -> None:
    a: np.ndarray = np.ones((2, 1), dtype)
    assert cosine(a, a).dtype == dtype


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((3,), (2, 3)), ((2, 3), (2, 4)), ((), ())])
def test_cosine_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="equal shape"):
        cosine(np.ones(shapes[0]), np.ones(shapes[1]))


@given(hnp.arrays(np.float32, (4, 7), elements=st.floats(-1, 1, width=32)))
def test_cosine_is_bounded_and_symmetric(vectors: np.ndarray) -> None:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    assume(norms.min() > 1e-3)
    unit = vectors / norms
    itself = cosine(unit, unit)
    assert itself.max() <= 1.0
    np.testing.assert_allclose(itself, 1.0, atol=1e-6)
    assert cosine(unit, -unit).min() >= -1.0
    np.testing.assert_array_equal(cosine(unit, unit[::-1]), cosine(unit[::-1], unit))


def test_cosine_clips_what_rounding_adds() -> None:
    longer = np.array([np.nextafter(1.0, 2.0)])
    assert cosine(longer, longer) == 1.0
    assert cosine(longer, -longer) == -1.0


def test_decide_accepts_at_the_threshold() -> None:
    assert decide(np.array([0.4, 0.5, 0.6]), 0.5).tolist() == [False, True, True]


def test_decide_compares_float32_scores_exactly() -> None:
    score = np.float32(0.1)  # 0.100000001490116...
    just_above = math.nextafter(float(score), 1)  # rounds to `score` in float32
    assert decide(np.array([score]), just_above).tolist() == [False]
    assert decide(np.array([score]), float(score)).tolist() == [True]


def test_rates_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.3])
    for rate in (far_at_threshold, tar_at_threshold):
        assert [rate(scores, t) for t in (0.0, 0.1, 0.15, 0.3, 0.31)] == [1.0, 1.0, 0.75, 0.5, 0.0]


def test_threshold_by_hand() -> None:
    impostors = np.arange(100) / 100  # 0.00 to 0.99
    # FAR 0.1 allows ten: 0.90 to 0.99. The threshold lies just above 0.89.
    assert threshold_at_far(impostors, 0.1) == math.nextafter(0.89, 1)
    assert far_at_threshold(impostors, threshold_at_far(impostors, 0.1)) == 0.1
    # 29 of 100 are a share of 0.29, although 0.29 * 100 is 28.999...
    assert threshold_at_far(impostors, 0.29) == math.nextafter(0.70, 1)
    assert threshold_at_far(impostors, 0.285) == math.nextafter(0.71, 1)
    # 80 of 100 are more than a share a little below 0.8, although that times 100 is 80.0.
    assert math.nextafter(0.8, 0) * 100 == 80.0
    assert threshold_at_far(impostors, math.nextafter(0.8, 0)) == math.nextafter(0.20, 1)


def test_threshold_rejects_a_whole_tie() -> None:
    impostors = np.array([0.1] * 90 + [0.5] * 11 + [0.9] * 4)
    # Ten of 105 may pass, which would split the tie at 0.5; so four do.
    threshold = threshold_at_far(impostors, 0.1)
    assert threshold == math.nextafter(0.5, 1)
    assert far_at_threshold(impostors, threshold) == 4 / 105


def test_threshold_above_one_if_ties_are_at_one() -> None:
    impostors = np.ones(100, np.float32)
    threshold = threshold_at_far(impostors, 0.1)
    assert threshold == float(np.nextafter(np.float32(1), np.float32(2)))
    assert far_at_threshold(impostors, threshold) == 0.0


def test_order_of_scores_does_not_matter_and_they_stay() -> None:
    impostors = np.random.default_rng(0).permutation(np.arange(200) / 200)
    before = impostors.copy()
    assert threshold_at_far(impostors, 0.05) == math.nextafter(189 / 200, 1)
    np.testing.assert_array_equal(impostors, before)


@given(SCORES, FARS)
def test_threshold_honours_its_far_and_one_step_lower_breaks_it(impostors: np.ndarray, far: float) -> None:
    threshold = threshold_at_far(impostors, far, min_false_accepts=0)
    typed = impostors.dtype.type(threshold)
    assert float(typed) == threshold  # representable in the type of the scores
    assert np.count_nonzero(impostors >= typed) / impostors.size <= far
    lower = np.nextafter(typed, impostors.dtype.type(-np.inf))
    assert np.count_nonzero(impostors >= lower) / impostors.size > far


@pytest.mark.parametrize(
    ("far", "needed"), [(0.1, 100), (0.01, 1000), (0.001, 10_000), (1e-4, 100_000), (0.3, 34), (1e-6, 10**7)]
)
def test_ten_expected_false_accepts_are_needed(far: float, needed: int) -> None:
    assert impostors_needed(far) == needed
    assert needed * Fraction(str(far)) >= 10 > (needed - 1) * Fraction(str(far))


def test_too_few_impostors() -> None:
    impostors = np.linspace(0, 1, 10_000)
    assert threshold_at_far(impostors, 0.001) > 0.99
    with pytest.raises(DataError, match=r"FAR 0\.001 takes at least 10,000 impostor pairs.*there are 9,999"):
        threshold_at_far(impostors[1:], 0.001)
    assert threshold_at_far(impostors[1:], 0.001, min_false_accepts=9) > 0.99


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_far_out_of_range(far: float) -> None:
    with pytest.raises(DataError, match="out of range"):
        threshold_at_far(np.linspace(0, 1, 1000), far)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(bad: float) -> None:
    scores = np.append(np.linspace(0, 1, 998), [bad, bad])
    for call in (checked_scores, lambda s: threshold_at_far(s, 0.1), lambda s: far_at_threshold(s, 0.5)):
        with pytest.raises(DataError, match=r"2 of 1,000 scores are not finite"):
            call(scores)
    with pytest.raises(DataError, match="not finite"):
        tar_at_threshold(scores, 0.5)


def test_no_scores_and_other_shapes() -> None:
    with pytest.raises(DataError, match="no scores"):
        far_at_threshold(np.array([]), 0.5)
    with pytest.raises(ValueError, match="shape"):
        tar_at_threshold(np.ones((2, 2)), 0.5)


def test_whole_numbers_are_taken_as_float64() -> None:
    assert threshold_at_far(np.repeat([0, 1], [95, 5]), 0.1) == math.nextafter(0.0, 1)


@pytest.mark.parametrize("pairs", [1, 2, 3, 10, 45, 46, 1000, 10**7])
def test_people_needed_are_the_fewest_that_make_the_pairs(pairs: int) -> None:
    n = people_needed(pairs)
    assert n * (n - 1) // 2 >= pairs > (n - 1) * (n - 2) // 2
