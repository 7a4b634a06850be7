from __future__ import annotations

import numpy as np
import pytest
from samples import people

from facever.metrics import pairwise_cosines, tar_at_far
from facever.metrics.all_pairs import BINS, all_pairs


def test_every_pair_is_counted_once() -> None:
    embeddings, who = people()
    found = all_pairs(embeddings, who, block=64)
    counts = np.bincount(who)
    genuine = int((counts * (counts - 1) // 2).sum())
    assert found.genuine_pairs == genuine
    assert found.impostor_pairs == 700 * 699 // 2 - genuine


@pytest.mark.parametrize("far", [1e-1, 1e-2, 1e-3, 1e-4])
def test_rates_equal_those_of_the_explicit_scores_to_the_width_of_a_bin(far: float) -> None:
    embeddings, who = people()
    found = all_pairs(embeddings, who)
    genuine, impostor = pairwise_cosines(embeddings, who)
    threshold = found.threshold_at_far(far)
    assert np.mean(impostor >= threshold) <= far < np.mean(impostor >= threshold - 2 / BINS)
    between = np.mean(np.abs(genuine - threshold) <= 2 / BINS)
    assert found.tar_at_far(far) == pytest.approx(tar_at_far(genuine, impostor, far), abs=between + 1e-9)
    assert found.far_at(threshold) <= far


def test_the_block_size_changes_nothing() -> None:
    embeddings, who = people()
    small, large = all_pairs(embeddings, who, block=37), all_pairs(embeddings, who, block=4096)
    # Products of other shapes round otherwise in the last bit, which moves a pair to the next bin here and there.
    assert np.abs(np.cumsum(small.impostor) - np.cumsum(large.impostor)).max() <= 5
    assert [pair[:2] for pair in small.closest[:20]] == [pair[:2] for pair in large.closest[:20]]


def test_the_closest_impostors_are_the_highest_of_a_naive_search() -> None:
    embeddings, who = people(120, 20)
    cosines = [(i, j, float(embeddings[i] @ embeddings[j])) for i in range(120) for j in range(i + 1, 120)]
    expected = sorted((pair for pair in cosines if who[pair[0]] != who[pair[1]]), key=lambda pair: -pair[2])[:7]
    found = all_pairs(embeddings, who, closest=7, block=50).closest
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected], abs=1e-6)


def test_a_planted_label_error_is_the_most_suspicious_pair() -> None:
    embeddings, who = people(seed=1)
    embeddings[5] = embeddings[600]
    who[5], who[600] = 0, 1
    assert all_pairs(embeddings, who).closest[0][:2] == (5, 600)


def test_equal_and_opposite_vectors_fall_into_the_outermost_bins() -> None:
    embeddings = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    found = all_pairs(embeddings, np.array([0, 0, 1]))
    assert (found.genuine[-1], found.impostor[0]) == (1, 2)
    assert found.tar_at_far(0.5) == 1.0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        all_pairs(np.zeros((3, 2), np.float32), np.zeros(2, int))
