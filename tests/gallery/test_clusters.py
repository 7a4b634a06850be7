from __future__ import annotations

import numpy as np
import pytest
from gallery_samples import crowd, unit
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from facever.gallery.clusters import Rule, group
from facever.gallery.linkage import Known, Linkage
from facever.gallery.neighbors import neighbors
from facever.weights.file import read_info

COUNTS = [12, 9, 7, 5, 3, 2, 1, 1]


def labels_of(vectors: np.ndarray, rule: Rule, **known: object) -> np.ndarray:
    return group(vectors, neighbors(vectors, 100, 0.5), rule, **known).labels  # type: ignore[arg-type]


def test_neighbors_are_those_of_the_whole_matrix_and_pairs_are_counted_once() -> None:
    vectors, _ = crowd(COUNTS)
    found = neighbors(vectors, 6, 0.5)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    assert found.faces.tolist() == np.argsort(-cosines, axis=1, kind="stable")[:, :6].tolist()
    assert found.cosines == pytest.approx(np.sort(cosines, axis=1)[:, :-7:-1], abs=1e-6)
    assert found.alike == pytest.approx(np.mean(cosines[np.triu_indices(len(vectors), 1)] >= 0.5))


def test_along_a_whole_graph_at_one_threshold_it_is_scipys_average_linkage() -> None:
    vectors, _ = crowd([10] * 12, spread=1.4, size=24)
    tree = linkage(vectors.astype(np.float64), "average", metric="cosine")
    graph = [np.delete(np.arange(120), i) for i in range(120)]
    for cut in (0.3, 0.4, 0.5):
        known = [Known(set(), set(), set()) for _ in range(120)]
        found = Linkage(vectors, np.zeros(120), graph, known, Rule(cut, cut, 0.0, 0.0, 0.0), 0.0)
        found.merge(np.ones(120, bool))
        assert adjusted_rand_score(fcluster(tree, 1 - cut, "distance"), found.labels()) == 1
        assert 1 < len(set(found.labels())) < 120


def test_people_far_apart_are_found() -> None:
    vectors, who = crowd(COUNTS)
    found = neighbors(vectors, 100, 0.5)
    rule = Rule.of(read_info("default"), found.alike, len(vectors))
    assert adjusted_rand_score(who, group(vectors, found, rule).labels) == 1


@pytest.mark.parametrize("mates", [0.0, 0.3])
def test_the_rule_is_stricter_for_two_faces_and_where_most_pairs_are_strangers(mates: float) -> None:
    info = read_info("default")
    rare, often = Rule.of(info, 1e-4 + 1e-5, 10_000), Rule.of(info, 1e-4 + 1e-2, 10_000)
    assert rare.single > often.single > often.lowest >= info.tail.start  # type: ignore[union-attr]
    sizes = np.array([1, 2, 10, 1000])
    limits = often(1, sizes)
    assert limits[0] == pytest.approx(often.single)
    assert (np.diff(limits) < 0).all()
    assert limits[-1] > often.lowest


def test_one_face_is_one_person_and_two_equal_ones_are_too() -> None:
    vectors, _ = crowd([1])
    assert labels_of(vectors, Rule.fixed(0.5)).tolist() == [0]
    assert len(set(labels_of(np.repeat(vectors, 2, axis=0), Rule.fixed(0.5)))) == 1


def test_two_faces_of_one_photograph_need_more_than_others() -> None:
    a = np.array([1.0, 0.0, 0.0])
    b = unit(np.array([0.6, 0.8, 0.0]))[0]
    vectors = unit(np.array([a, b]))
    rule = Rule(0.5, 0.5, 0.0, 0.2, 0.1)
    assert len(set(labels_of(vectors, rule, photographs=np.array([0, 1])))) == 1
    assert len(set(labels_of(vectors, rule, photographs=np.array([0, 0])))) == 2
    near = unit(np.array([[1.0, 0.0, 0.0], [0.95, 0.3, 0.0]]))  # a collage
    assert len(set(labels_of(near, rule, photographs=np.array([0, 0])))) == 1


def test_poor_faces_join_a_person_and_found_none() -> None:
    vectors, _ = crowd([4, 3])
    poor = np.zeros(7, bool)
    poor[[0, 4, 5, 6]] = True
    found = labels_of(vectors, Rule.fixed(0.5), poor=poor)
    assert len(set(found[:4])) == 1
    assert found[0] >= 0
    assert found[4:].tolist() == [-1, -1, -1]


def test_earlier_people_stay_and_a_face_moves_only_where_another_is_clearly_more_alike() -> None:
    vectors, who = crowd([6, 6])
    before = who.copy()
    before[0] = 1  # put to the wrong person
    rule = Rule.fixed(0.5)
    assert adjusted_rand_score(who, labels_of(vectors, rule, before=before)) == 1
    fixed = np.arange(12) == 0
    assert adjusted_rand_score(before, labels_of(vectors, rule, before=before, fixed=fixed)) == 1
    split = np.where(np.arange(12) < 3, 2, who)  # one person as two: what is alike is merged
    assert adjusted_rand_score(who, labels_of(vectors, rule, before=split)) == 1


def test_what_is_forbidden_stays_apart() -> None:
    vectors, _ = crowd([6])
    names = [Known(set(), set(), set(), name) for name in ["Ann", "Bo", None, None, None, None]]
    found = labels_of(vectors, Rule.fixed(0.3), known=names)
    assert found[0] != found[1]
    assert len(set(found)) == 2
    people = [Known(set(), {"p1"} if i else set(), set() if i else {"p1"}) for i in range(6)]
    found = labels_of(vectors, Rule.fixed(0.3), known=people, before=np.array([-1, 0, 0, 0, 0, 0]))
    assert found[0] not in found[1:]
    assert len(set(found[1:])) == 1
