from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facever.errors import DataError
from facever.metrics import (
    best_threshold,
    cross_validated_accuracy,
    equal_error_rate,
    pairwise_cosines,
    standard_error,
    tar_at_far,
    verification_result,
)

# Twelfths from -12 to 12 tie often; the neighboring floats around 0.5 have no midpoint of their own.
SCORE = st.one_of(
    st.integers(-12, 12).map(lambda n: n / 12),
    st.sampled_from([math.nextafter(0.5, 0), 0.5, math.nextafter(0.5, 1)]),
    st.floats(-1, 1),
)


@st.composite
def labeled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels, both kinds of pair among them."""
    cosines = draw(st.lists(SCORE, min_size=2, max_size=40))
    same = draw(st.lists(st.booleans(), min_size=len(cosines), max_size=len(cosines)))
    same[0], same[-1] = True, False
    return np.array(cosines), np.array(same)


def accuracy(cosines: np.ndarray, same: np.ndarray, threshold: float) -> float:
    right = sum((c >= threshold) == s for c, s in zip(cosines.tolist(), same.tolist(), strict=True))
    return right / len(cosines)


def searched_threshold(cosines: np.ndarray, same: np.ndarray) -> float:
    """best_threshold's definition as a plain search: every candidate is scored on every pair."""
    values = sorted(set(cosines.tolist()))
    candidates = [values[0]]
    for low, high in itertools.pairwise(values):
        middle = (low + high) / 2
        candidates.append(middle if middle > low else high)
    candidates.append(math.nextafter(values[-1], math.inf))
    scores = [accuracy(cosines, same, candidate) for candidate in candidates]
    start = scores.index(max(scores))
    end = start
    while end + 1 < len(scores) and scores[end + 1] == scores[start]:
        end += 1
    return candidates[(start + end) // 2]


def random_pairs(n: int = 600, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = np.arange(n) % 2 == 0
    cosines = np.clip(rng.normal(np.where(same, 0.5, 0.1), 0.2), -1, 1).astype(np.float32)
    return cosines, same, np.arange(n) * k // n


# --- best_threshold


@pytest.mark.parametrize(
    ("cosines", "same", "threshold"),
    [
        ([0.25, 0.75], [0, 1], 0.5),  # separable: halfway
        ([0.0, 0.25, 0.5, 1.0], [0, 0, 1, 1], 0.375),
        ([0.75, 0.25], [0, 1], 0.25),  # no better than accepting all, which comes first
        ([0.75, 0.25, 0.5], [0, 1, 0], math.nextafter(0.75, 1)),  # rejecting all is best
        # Between 0.0 and 1.0 a genuine and an impostor pair share 0.5: 0.25 and 0.75 are equally good.
        ([0.0, 0.5, 0.5, 1.0], [0, 0, 1, 1], 0.25),
        # Two such ties: 0.125, 0.375 and 0.75 are equally good, and the middle one is taken.
        ([0.0, 0.25, 0.25, 0.5, 0.5, 1.0], [0, 0, 1, 0, 1, 1], 0.375),
        # Two runs of best thresholds apart from each other: the first.
        ([0.0, 0.25, 0.5, 1.0], [0, 1, 0, 1], 0.125),
    ],
)
def test_best_threshold_by_hand(cosines: list[float], same: list[int], threshold: float) -> None:
    assert best_threshold(np.array(cosines), np.array(same, bool)) == threshold


@pytest.mark.slow
@given(labeled_scores())
def test_best_threshold_equals_a_search(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    cosines, same = pairs
    threshold = best_threshold(cosines, same)
    assert threshold == searched_threshold(cosines, same)
    # No threshold whatever is better: accuracy changes at the scores and nowhere else.
    everywhere = [*cosines.tolist(), math.inf]
    assert accuracy(cosines, same, threshold) == max(accuracy(cosines, same, t) for t in everywhere)


@pytest.mark.slow
@given(labeled_scores(), st.randoms(use_true_random=False))
def test_best_threshold_does_not_depend_on_the_order(pairs: tuple[np.ndarray, np.ndarray], random: object) -> None:
    cosines, same = pairs
    order = list(range(len(cosines)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert best_threshold(cosines[order], same[order]) == best_threshold(cosines, same)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_best_threshold_parts_neighboring_floats(dtype: type) -> None:
    low = dtype(0.5)  # to which the midpoint rounds in float64
    high = np.nextafter(low, dtype(1))
    threshold = best_threshold(np.array([low, high]), np.array([False, True]))
    assert float(low) < threshold <= float(high)


# --- folds


def test_cross_validation_by_hand() -> None:
    cosines = np.array([0.0, 0.5, 0.25, 1.0, 0.5, 0.75])
    same = np.array([False, True] * 3)
    folds = np.array([7, 7, 2, 2, 5, 5])
    # The other folds of each, as impostor, genuine | impostor, genuine:
    # fold 2: 0.0, 0.5 | 0.5, 0.75. 0.25 and 0.625 are equally good; 0.25 accepts the impostor at 0.25.
    # fold 5: 0.0, 0.5 | 0.25, 1.0. 0.375 accepts the impostor at 0.5.
    # fold 7: 0.25, 1.0 | 0.5, 0.75. 0.625 rejects the genuine pair at 0.5.
    accuracies, thresholds = cross_validated_accuracy(cosines, same, folds)
    assert thresholds.tolist() == [0.25, 0.375, 0.625]
    assert accuracies.tolist() == [0.5, 0.5, 0.5]


def test_cross_validation_equals_a_loop() -> None:
    cosines, same, folds = random_pairs()
    accuracies, thresholds = cross_validated_accuracy(cosines, same, folds)
    assert accuracies.shape == thresholds.shape == (4,)
    for k in range(4):
        others = folds != k
        assert thresholds[k] == searched_threshold(cosines[others].astype(float), same[others])
        assert accuracies[k] == accuracy(cosines[~others], same[~others], thresholds[k])
    assert len(set(accuracies.tolist())) > 1  # the folds differ, so their order is tested too


@given(st.integers(0, 3), st.integers(0, 1000))
def test_the_threshold_of_a_fold_never_sees_that_fold(fold: int, seed: int) -> None:
    cosines, same, folds = random_pairs(80)
    changed = np.where(folds == fold, np.random.default_rng(seed).uniform(-1, 1, 80), cosines)
    before = cross_validated_accuracy(cosines.astype(float), same, folds)[1]
    after = cross_validated_accuracy(changed, same, folds)[1]
    assert after[fold] == before[fold]
    assert cross_validated_accuracy(changed, same, folds)[0][fold] == accuracy(
        changed[folds == fold], same[folds == fold], after[fold]
    )


def test_a_single_fold_is_refused() -> None:
    cosines, same, folds = random_pairs()
    with pytest.raises(DataError, match="two or more folds"):
        cross_validated_accuracy(cosines, same, np.zeros_like(folds))
    with pytest.raises(DataError, match="two or more folds"):
        verification_result(cosines, same, np.zeros_like(folds))


def test_other_folds_without_a_kind_of_pair_are_refused() -> None:
    with pytest.raises(DataError, match="no impostor pair among 2"):
        cross_validated_accuracy(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1], bool), np.array([0, 0, 1, 1]))


def test_standard_error_by_hand() -> None:
    # Mean 0.9, squared deviations 0.01, 0, 0.01: variance 0.02 / 2, standard error 0.1 / sqrt(3).
    assert standard_error(np.array([0.8, 0.9, 1.0])) == pytest.approx(0.1 / math.sqrt(3))


# --- error rates


@pytest.mark.parametrize(
    ("genuine", "impostor", "eer"),
    [
        ([0.8, 0.9], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.2, 0.6, 0.7, 0.8], [0.1, 0.3, 0.4, 0.65], 0.25),  # at 0.6: one of four on either side
        ([0.5, 0.5], [0.5, 0.5], 0.5),  # a straight line from (0, 0) to (1, 1)
        # FRR 1, FAR 0 above 0.9; at 0.9, FRR 1/2, FAR 0; at 0.5, FRR 0, FAR 1/3. The lines
        # (1 - w) / 2 and w / 3 cross at w = 3/5.
        ([0.5, 0.9], [0.1, 0.2, 0.5], 0.2),
    ],
)
def test_eer_by_hand(genuine: list[float], impostor: list[float], eer: float) -> None:
    same = np.repeat([True, False], [len(genuine), len(impostor)])
    assert equal_error_rate(np.array(genuine + impostor), same) == pytest.approx(eer, abs=1e-12)


@pytest.mark.slow
@given(labeled_scores())
def test_eer_is_where_the_rates_cross(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    cosines, same = pairs
    genuine, impostor = cosines[same].tolist(), cosines[~same].tolist()
    eer = equal_error_rate(cosines, same)
    thresholds = [math.inf, *sorted(set(cosines.tolist()), reverse=True)]
    far = [sum(c >= t for c in impostor) / len(impostor) for t in thresholds]
    frr = [sum(c < t for c in genuine) / len(genuine) for t in thresholds]
    # FAR as a function of FAR - FRR, which rises strictly from -1 to 1, read off at 0.
    assert eer == pytest.approx(np.interp(0, np.subtract(far, frr), far), abs=1e-9)


def test_tar_at_far_by_hand() -> None:
    impostor = np.arange(100) / 100
    genuine = np.array([0.895, 0.89, 0.9, 0.95, 0.3])
    assert tar_at_far(genuine, impostor, 0.1) == 0.6  # those above 0.89
    assert tar_at_far(genuine, impostor, 0.01) == 0.0  # above 0.98
    assert tar_at_far(genuine, impostor, 0.001) == 0.0  # however few impostors: above all of them
    assert tar_at_far(np.array([0.99, 1.0]), impostor, 0.001) == 0.5


# --- all figures together


def test_verification_result_equals_its_parts() -> None:
    cosines, same, folds = random_pairs(2400, k=10)
    result = verification_result(cosines, same, folds)
    accuracies, thresholds = cross_validated_accuracy(cosines, same, folds)
    genuine, impostor = cosines[same], cosines[~same]
    assert result.accuracy == pytest.approx(sum(accuracies) / 10)
    deviations = sum((a - sum(accuracies) / 10) ** 2 for a in accuracies)
    assert result.accuracy_standard_error == pytest.approx(math.sqrt(deviations / 9) / math.sqrt(10))
    # The AUC is the chance that a genuine pair scores above an impostor pair, a tie counting half.
    above = genuine[:, None] > impostor[None]
    ties = genuine[:, None] == impostor[None]
    assert result.auc == pytest.approx(float(np.mean(above + ties / 2)))
    assert result.eer == equal_error_rate(cosines, same)
    assert 0.1 < result.eer < 0.25
    for far in (0.1, 0.01):
        highest = np.sort(impostor)[::-1]
        assert result.tar_at_far[far] == np.mean(genuine > highest[round(far * 1200)])
    assert result.tar_at_far[1e-3] is None  # 1.2 expected false accepts
    assert result.tar_at_far[1e-4] is None
    assert (result.fold_accuracies, result.fold_thresholds) == (tuple(accuracies), tuple(thresholds))
    assert (result.pairs, result.genuine_pairs, result.impostor_pairs) == (2400, 1200, 1200)


def test_fewer_false_accepts_can_be_asked_for() -> None:
    cosines, same, folds = random_pairs(2000)
    one = verification_result(cosines, same, folds, min_false_accepts=1)  # 1,000 impostors
    assert one.tar_at_far[1e-3] == tar_at_far(cosines[same], cosines[~same], 1e-3)
    assert one.tar_at_far[1e-4] is None
    ten = verification_result(cosines, same, folds)
    assert (ten.tar_at_far[1e-2] is None, ten.tar_at_far[1e-3] is None) == (False, True)


def test_counts_of_unequal_kinds() -> None:
    result = verification_result(
        np.array([0.9, 0.1, 0.2, 0.8, 0.0, 0.3]),
        np.array([1, 0, 0, 1, 0, 0], bool),
        np.array([0, 0, 0, 1, 1, 1]),
    )
    assert (result.pairs, result.genuine_pairs, result.impostor_pairs) == (6, 2, 4)
    assert (result.accuracy, result.accuracy_standard_error, result.auc, result.eer) == (1.0, 0.0, 1.0, 0.0)
    assert set(result.tar_at_far.values()) == {None}


def test_json_holds_every_field() -> None:
    result = verification_result(*random_pairs())
    read = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(read) == {field.name for field in dataclasses.fields(result)}
    assert read["accuracy"] == result.accuracy
    assert read["fold_thresholds"] == list(result.fold_thresholds)
    assert list(read["tar_at_far"]) == ["0.1", "0.01", "0.001", "0.0001", "1e-05"]
    assert read["tar_at_far"]["0.1"] == result.tar_at_far[0.1]
    assert read["tar_at_far"]["0.0001"] is None
    assert result.to_json() == read  # lists and plain numbers from the start


def test_result_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        verification_result(*random_pairs()).accuracy = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("label", [True, False])
def test_one_kind_of_pair_is_refused(label: bool) -> None:
    cosines, same, folds = random_pairs()
    kind = "impostor" if label else "genuine"
    for call in (best_threshold, equal_error_rate, lambda c, s: verification_result(c, s, folds)):
        with pytest.raises(DataError, match=f"no {kind} pair among 600"):
            call(cosines, np.full_like(same, label))


def test_scores_that_are_not_numbers_are_refused() -> None:
    cosines, same, folds = random_pairs()
    cosines[[3, 5, 8]] = np.nan
    for call in (best_threshold, equal_error_rate, lambda c, s: verification_result(c, s, folds)):
        with pytest.raises(DataError, match="3 of 600 scores are not finite"):
            call(cosines, same)


def test_shapes_that_differ_are_refused() -> None:
    cosines, same, folds = random_pairs()
    with pytest.raises(ValueError, match="a label for each score"):
        best_threshold(cosines, same[1:])
    with pytest.raises(ValueError, match="a fold for each pair"):
        cross_validated_accuracy(cosines, same, folds[1:])


# --- all pairs of a set


def unit_vectors(n: int, d: int = 8) -> np.ndarray:
    vectors = np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 30, 256, 257, 600])  # within a block, at its edge, over several
def test_pairwise_cosines_equal_a_loop(n: int) -> None:
    embeddings = unit_vectors(n)
    identities = np.random.default_rng(1).integers(0, 5, n)
    expected: dict[bool, list[float]] = {True: [], False: []}
    for i in range(n):
        for j in range(i + 1, n):
            expected[bool(identities[i] == identities[j])].append(float(embeddings[i] @ embeddings[j]))
    genuine, impostor = pairwise_cosines(embeddings, identities)
    np.testing.assert_allclose(genuine, expected[True], atol=1e-6)
    np.testing.assert_allclose(impostor, expected[False], atol=1e-6)
    assert genuine.dtype == impostor.dtype == np.float32


def test_pairwise_cosines_are_clipped() -> None:
    longer = np.full((2, 1), np.nextafter(np.float32(1), np.float32(2)))
    assert pairwise_cosines(longer, np.array([0, 0]))[0].tolist() == [1.0]
    assert pairwise_cosines(longer * np.array([[1], [-1]], np.float32), np.array([0, 1]))[1].tolist() == [-1.0]


@pytest.mark.parametrize("n", [0, 1])
def test_no_pairs_of_fewer_than_two(n: int) -> None:
    genuine, impostor = pairwise_cosines(unit_vectors(n), np.arange(n))
    assert (genuine.shape, impostor.shape) == ((0,), (0,))


def test_pairwise_cosines_refuse_other_shapes() -> None:
    with pytest.raises(ValueError, match="shapes"):
        pairwise_cosines(unit_vectors(3), np.arange(4))
    with pytest.raises(ValueError, match="shapes"):
        pairwise_cosines(np.ones(3, np.float32), np.arange(3))


def test_import_stays_light() -> None:
    code = "import sys, facever.metrics; print(*{'sklearn', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
