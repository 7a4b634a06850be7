from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facever.datasets.external import ExternalEmbeddings
from facever.datasets.pairs import Pair
from facever.datasets.pairs import photographs as photographs_of
from facever.errors import DataError
from facever.evaluation import EmbeddingSet, StageTimes, evaluate_all, evaluate_embedded, external_set
from facever.reports.tables import all_pairs_rows, timing_rows
from facever.weights.thresholds import Threshold


def photographs(degrees: list[float]) -> EmbeddingSet:
    angles = np.radians(degrees)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return EmbeddingSet([f"{d}.jpg" for d in degrees], vectors, np.ones(len(degrees)), [])


def test_rates_of_few_people_by_hand() -> None:
    # a at 0 and 10 degrees, b at 90 and 95: genuine cosines cos 10, cos 5, impostors cos 90, 80, 95, 85.
    result = evaluate_all(photographs([0, 10, 90, 95]), ["a", "a", "b", "b"], suspicious=1)
    assert (result.photographs, result.people, result.genuine_pairs, result.impostor_pairs) == (4, 2, 2, 4)
    assert result.suspicious == [("10.jpg", "90.jpg", pytest.approx(np.cos(np.radians(80)), abs=1e-6))]
    assert set(result.tar_at_far.values()) == {None}  # four impostors support nothing


def test_rates_appear_once_the_impostors_support_them_and_the_json_is_complete() -> None:
    generator = np.random.default_rng(0)
    centers = generator.uniform(0, 360, 40)
    degrees = (centers[:, None] + generator.normal(size=(40, 3))).ravel()
    result = evaluate_all(photographs(list(degrees)), [f"p{i // 3}" for i in range(120)])
    # 120 * 119 / 2 - 40 * 3 = 7,020 impostors: ten false accepts are expected down to FAR 1e-2.
    assert result.impostor_pairs == 7020
    assert result.tar_at_far[1e-2] is not None
    assert result.tar_at_far[1e-3] is None
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert told["tar_at_far"]["0.001"] is None
    assert 0 <= told["tar_at_far"]["0.1"] <= 1
    assert len(told["suspicious"]) == 10


@pytest.mark.parametrize("identities", [["a", "a", "a"], ["a", "b", "c"]])
def test_one_kind_of_pair_alone_is_refused(identities: list[str]) -> None:
    with pytest.raises(DataError, match="two people"):
        evaluate_all(photographs([0, 10, 20]), identities)


def test_embeddings_of_another_program_are_scored_by_the_same_code(tmp_path: Path) -> None:
    names = ["0.jpg", "10.jpg", "90.jpg"]
    external = ExternalEmbeddings(tmp_path, names, 3 * photographs([0, 10, 90]).vectors)
    pairs = [
        Pair(tmp_path / a, tmp_path / b, same, fold)
        for a, b, same, fold in [
            ("0.jpg", "10.jpg", True, 0),
            ("0.jpg", "90.jpg", False, 0),
            ("10.jpg", "0.jpg", True, 1),
            ("10.jpg", "none.jpg", False, 1),
        ]
    ]
    embedded = external_set(external, photographs_of(pairs), tmp_path)
    assert embedded.names == [*names, "none.jpg"]
    assert np.isnan(embedded.norms).all()
    result = evaluate_embedded(pairs, embedded, [], ["a note"])
    cos10 = np.cos(np.radians(10))
    np.testing.assert_allclose(result.cosines, [cos10, 0, cos10, 0], atol=1e-6)
    assert result.images_without_face == ["none.jpg"]
    assert result.figures.accuracy == 1.0
    assert result.people is None  # the list names nobody
    assert result.to_json()["intervals_over"] == "pairs"
    assert result.notes == ["a note"]


def many() -> tuple[EmbeddingSet, list[str]]:
    generator = np.random.default_rng(0)
    degrees = (generator.uniform(0, 360, 40)[:, None] + generator.normal(size=(40, 3))).ravel()
    return photographs(list(degrees)), [f"p{i // 3}" for i in range(120)]


def test_rates_have_intervals_over_people_that_hold_them() -> None:
    embedded, identities = many()
    result = evaluate_all(embedded, identities, replicates=200)
    assert set(result.tar_intervals) == set(result.threshold_intervals) == {1e-1, 1e-2}
    for far, (low, high) in result.tar_intervals.items():
        assert low <= (result.tar_at_far[far] or -1) <= high
    for far, (low, high) in result.threshold_intervals.items():
        assert low < (result.threshold_at_far[far] or -2) < high
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert told["tar_intervals"].keys() == {"0.1", "0.01"}
    assert told["cllr"] >= told["min_cllr"] >= 0


def test_stored_thresholds_are_measured_on_all_pairs() -> None:
    # As in the first test: genuine cos 10, cos 5; impostors cos 80, 85, 90, 95. At 0.1: cos 80 = 0.174 passes alone.
    stored = Threshold(0.01, 0.1, "elsewhere", 1000, 0.9)
    (kept,) = evaluate_all(photographs([0, 10, 90, 95]), ["a", "a", "b", "b"], thresholds=[stored]).thresholds
    assert (kept.far, kept.cosine, kept.measured_far, kept.measured_tar) == (0.01, 0.1, 0.25, 1.0)


def test_people_with_one_photograph_are_counted_and_take_part() -> None:
    result = evaluate_all(photographs([0, 10, 90, 200]), ["a", "a", "b", "c"])
    assert (result.singletons, result.genuine_pairs, result.impostor_pairs) == (2, 1, 5)
    assert result.to_json()["people_with_one_photograph"] == 2
    assert dict(all_pairs_rows(result, "m"))["photographs"].startswith("4 of 3 people, 2 with one photograph")


def test_the_least_alike_pair_of_a_person_is_listed_first() -> None:
    result = evaluate_all(photographs([0, 10, 50, 90, 95]), ["a", "a", "a", "b", "b"])
    assert [pair[:2] for pair in result.least_alike] == [
        ("0.jpg", "50.jpg"),
        ("10.jpg", "50.jpg"),
        ("0.jpg", "10.jpg"),
        ("90.jpg", "95.jpg"),
    ]


def test_embeddings_that_are_no_numbers_are_counted_and_refused() -> None:
    embedded, identities = many()
    embedded.vectors[[4, 9, 11]] = np.nan
    with pytest.raises(DataError, match="3 of 120 embeddings are not finite"):
        evaluate_all(embedded, identities)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (None, "made elsewhere"),
        (StageTimes(dict.fromkeys(("decode", "detect"), 0.0), 0, 1200), "all 1,200 from the cache"),
        (StageTimes({"decode": 1.25, "detect": 7.5}, 3, 1197), "3 computed, 1,197 from the cache"),
    ],
)
def test_times_of_stages_are_told_for_what_was_run(times: StageTimes | None, says: str) -> None:
    rows = dict(timing_rows(times, 2.0, 11.0))
    assert says in rows["embeddings"]
    assert rows["seconds in total"] == "11.0"
    run = times is not None and times.embedded
    assert rows.get("seconds to detect") == ("7.5" if run else None)
    assert rows["seconds to score"].startswith("2.0")
