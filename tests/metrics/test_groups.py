from __future__ import annotations

import numpy as np
import pytest

from facever.metrics.bootstrap import People
from facever.metrics.groups import figures_by_group

COSINES = np.array([0.9, 0.4, 0.6, 0.1, 0.9, 0.8, 0.2])
SAME = np.array([True, True, False, False, True, True, False])
GROUPS = ["b", "b", "b", "b", "a", "a", None]
PEOPLE = People(np.array([0, 1, 0, 1, 4, 5, 6]), np.array([0, 1, 2, 3, 4, 5, 7]), 8)


def test_each_group_has_its_own_rates_at_the_common_threshold() -> None:
    correct = (COSINES >= 0.5) == SAME
    a, b = figures_by_group(COSINES, SAME, correct, GROUPS, PEOPLE, 0.5, 50)
    assert (a.name, a.genuine_pairs, a.impostor_pairs, a.accuracy, a.tar, a.far) == ("a", 2, 0, 1.0, 1.0, None)
    assert (b.name, b.genuine_pairs, b.impostor_pairs, b.accuracy, b.tar, b.far) == ("b", 2, 2, 0.5, 0.5, 0.5)
    assert a.few and b.few


def test_intervals_hold_the_figure_and_narrow_with_the_number_of_people() -> None:
    def width(n: int) -> float:
        same = np.arange(n) % 2 == 0
        cosines = np.where(np.random.default_rng(0).random(n) < 0.8, 0.9, 0.1)  # accepted with probability 0.8
        people = People(np.arange(n), np.where(same, np.arange(n), np.arange(n) + n), 2 * n)
        [group] = figures_by_group(cosines, same, same, ["x"] * n, people, 0.5, 400)
        assert group.tar is not None
        assert group.tar_interval[0] <= group.tar <= group.tar_interval[1]
        assert not group.few
        return group.tar_interval[1] - group.tar_interval[0]

    assert width(200) == pytest.approx(2 * width(800), rel=0.5)


def test_without_groups_there_are_no_figures() -> None:
    assert figures_by_group(COSINES, SAME, SAME, [None] * 7, PEOPLE, 0.5, 10) == []
