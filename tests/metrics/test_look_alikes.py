from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.metrics import look_alikes as module
from facever.metrics.calibration import calibration_of_people
from facever.metrics.look_alikes import LookAlikes, grouped_people

KINDS, EACH, PHOTOGRAPHS = 4, 30, 3


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def population() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Photographs of four kinds of people; the network under test tells those of kind 3 apart badly.

    Unit embeddings (n, 64), the person of each, and the kind of each person.
    """
    draw = np.random.default_rng(0)
    kind = np.repeat(np.arange(KINDS), EACH)
    centers = draw.normal(size=(KINDS, 64)) * np.array([0.4, 0.4, 0.4, 1.0])[:, None]
    people = centers[kind] + draw.normal(size=(len(kind), 64))
    who = np.repeat(np.arange(len(kind)), PHOTOGRAPHS)
    return unit(people[who] + 0.7 * draw.normal(size=(len(who), 64))), who, kind


@pytest.fixture(scope="module")
def others(population: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.float32]:
    """By another network, which sees the kinds."""
    _, who, kind = population
    draw = np.random.default_rng(1)
    return unit(4 * np.eye(32)[kind[who]] + 0.5 * draw.normal(size=(len(who), 32)))


@pytest.fixture(autouse=True)
def four_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUMBERS_OF_GROUPS", (KINDS,))


def test_people_are_grouped_by_what_the_other_network_sees(
    population: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], others: NDArray[np.float32]
) -> None:
    _, who, kind = population
    found = grouped_people(others, who, KINDS)
    assert len({(int(a), int(b)) for a, b in zip(found, kind, strict=True)}) == KINDS
    assert found.tolist() == grouped_people(others, who, KINDS).tolist()


def test_the_worst_groups_rate_is_that_of_its_explicit_pairs(
    population: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], others: NDArray[np.float32]
) -> None:
    embeddings, who, kind = population
    groups = LookAlikes(embeddings, who, others, "another")
    cosine = 0.5
    rates = []
    for each in range(KINDS):
        rows = np.flatnonzero(kind[who] == each)
        cosines = embeddings[rows] @ embeddings[rows].T
        different = (who[rows][:, None] < who[rows][None]) & (who[rows][:, None] != who[rows][None])
        rates.append(float((cosines[different] >= cosine).mean()))
    assert int(np.argmax(rates)) == 3
    worst = groups.worst(0.01, cosine, replicates=200)
    assert worst is not None
    assert (worst.by, worst.groups, worst.people, worst.photographs) == ("another", KINDS, EACH, EACH * PHOTOGRAPHS)
    assert worst.impostor_pairs == EACH * (EACH - 1) // 2 * PHOTOGRAPHS**2
    assert worst.far == pytest.approx(max(rates), abs=0.002)  # to a bin
    low, high = worst.far_interval or (1, 0)
    assert low < worst.far < high
    # 3,915 pairs of different people can't tell a rate of 1e-3.
    assert groups.worst(1e-3, cosine) is None
    assert groups.threshold_at_far(1e-3) is None


def test_thresholds_within_groups_keep_their_promise_in_the_worst_at_a_price(
    population: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], others: NDArray[np.float32]
) -> None:
    embeddings, who, _ = population
    names, groups = [f"p{i:03d}" for i in who], LookAlikes(embeddings, who, others, "another")
    plain, kept = (
        calibration_of_people(embeddings, names, "s", (0.01,), 50, look_alikes=groups, within_groups=within).thresholds[
            0
        ]
        for within in (False, True)
    )
    assert plain.worst_group is not None and kept.worst_group is not None
    assert plain.worst_group.far > 0.02
    assert kept.worst_group.far <= 0.01 < plain.worst_group.far
    assert kept.cosine > plain.cosine and kept.tar < plain.tar
    assert (kept.cosine_interval, kept.far_interval) == (None, None)
