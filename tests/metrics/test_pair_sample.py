from __future__ import annotations

import numpy as np
import pytest
from samples import people

from facever.metrics import pairwise_cosines
from facever.metrics.all_pairs import all_pairs
from facever.metrics.pair_sample import sample_pairs


def test_few_pairs_are_all_kept_each_once() -> None:
    embeddings, who = people(150, 20)
    genuine, impostor = sample_pairs(embeddings, who, all_pairs(embeddings, who), block=64)
    exact_genuine, exact_impostor = pairwise_cosines(embeddings, who)
    np.testing.assert_allclose(np.sort(genuine.cosines), np.sort(exact_genuine), atol=1e-6)
    np.testing.assert_allclose(np.sort(impostor.cosines), np.sort(exact_impostor), atol=1e-6)
    assert set(genuine.counts) == set(impostor.counts) == {1.0}
    assert (genuine.a == genuine.b).all()
    assert (impostor.a != impostor.b).all()


def test_of_many_pairs_the_highest_impostors_are_complete_and_the_rest_stand_for_all() -> None:
    embeddings, who = people()  # 242,000 impostor pairs
    found = all_pairs(embeddings, who)
    _, impostor = sample_pairs(embeddings, who, found, keep=2000)
    exact = np.sort(pairwise_cosines(embeddings, who)[1])[::-1]
    assert len(impostor.cosines) < 5 * 2300  # 2,000 * (1 + log4(121) rounded up)
    once = np.sort(impostor.cosines[impostor.counts == 1])[::-1]
    assert 1980 < len(once) <= 2000
    np.testing.assert_allclose(once, exact[: len(once)], atol=1e-6)
    # Five standard errors of a sum of that many draws, at each depth.
    for depth in (5_000, 20_000, 100_000):
        estimated = impostor.counts[impostor.cosines >= exact[depth]].sum()
        assert estimated == pytest.approx(depth, rel=5 / np.sqrt(2000))


def test_people_stand_on_the_sides_of_their_pairs() -> None:
    # Two people on one line and one across: the only impostor pair with cosine 1 is that of persons 0 and 2.
    embeddings = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    who = np.array([0, 1, 2])
    _, impostor = sample_pairs(embeddings, who, all_pairs(embeddings, who))
    top = int(np.argmax(impostor.cosines))
    assert (impostor.a[top], impostor.b[top], impostor.cosines[top]) == (0, 2, 1.0)


def test_a_thousand_equal_scores_do_not_fill_the_memory() -> None:
    embeddings = np.tile(np.array([[1, 0]], np.float32), (300, 1))
    who = np.arange(300)
    _, impostor = sample_pairs(embeddings, who, all_pairs(embeddings, who), keep=100)
    assert 50 < len(impostor.cosines) < 160  # 44,850 pairs, all in one bin
    assert impostor.counts.sum() == pytest.approx(44_850, rel=0.5)
