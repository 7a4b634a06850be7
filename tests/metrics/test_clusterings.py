from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pair_confusion_matrix

from facever.metrics.clusterings import cluster_figures

faces = st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 5)), min_size=1, max_size=30)


@given(faces)
def test_bcubed_is_the_mean_over_faces_and_pairwise_figures_are_counted_pairs(found: list[tuple[int, int]]) -> None:
    clusters = [100 + i if c < 0 else c for i, (c, _) in enumerate(found)]
    people = [p for _, p in found]
    figures = cluster_figures([c for c, _ in found], people, replicates=0)
    precision, recall = [], []
    for c, p in zip(clusters, people, strict=True):
        same = [q for d, q in zip(clusters, people, strict=True) if d == c]
        mates = [d for d, q in zip(clusters, people, strict=True) if q == p]
        precision.append(same.count(p) / len(same))
        recall.append(mates.count(c) / len(mates))
    assert figures.bcubed.precision == pytest.approx(np.mean(precision))
    assert figures.bcubed.recall == pytest.approx(np.mean(recall))
    (_, wrong), (apart, right) = pair_confusion_matrix(people, clusters).tolist()
    assert figures.pairwise.precision == pytest.approx(
        right / (right + wrong) if right + wrong else np.nan, nan_ok=True
    )
    assert figures.pairwise.recall == pytest.approx(right / (right + apart) if right + apart else np.nan, nan_ok=True)
    assert 2 * sum(mistake.pairs for mistake in figures.merges) == wrong
    assert 2 * sum(mistake.pairs for mistake in figures.splits) == apart
    assert figures.clusters == len(set(clusters))


def test_the_largest_mistakes_come_first_with_their_parts() -> None:
    figures = cluster_figures([0, 0, 0, 0, 1, 1, 2], [5, 5, 5, 6, 6, 7, 7], replicates=0)
    assert [(m.what, m.parts, m.pairs) for m in figures.merges] == [(0, [(5, 3), (6, 1)], 3), (1, [(6, 1), (7, 1)], 1)]
    assert [(m.what, m.parts, m.pairs) for m in figures.splits] == [(6, [(0, 1), (1, 1)], 1), (7, [(1, 1), (2, 1)], 1)]
    assert figures.singletons == 1


def test_intervals_hold_the_figure_and_need_two_people() -> None:
    generator = np.random.default_rng(0)
    people = generator.integers(0, 60, 400)
    clusters = np.where(generator.random(400) < 0.8, people, generator.integers(0, 60, 400))
    found = cluster_figures(clusters, people, replicates=200).bcubed
    assert found.f_interval[0] < found.f < found.f_interval[1]
    assert found.f_interval[1] - found.f_interval[0] < 0.2
    assert np.isnan(cluster_figures([0, 0], [1, 1]).bcubed.f_interval).all()
    assert cluster_figures([0, 1], [1, 2]).to_json()["pairwise"]["recall"] is None


@pytest.mark.parametrize(("clusters", "people"), [([], []), ([1], [1, 2])])
def test_no_faces_and_unequal_numbers_are_refused(clusters: list[int], people: list[int]) -> None:
    with pytest.raises(ValueError, match="clusters for"):
        cluster_figures(clusters, people)
