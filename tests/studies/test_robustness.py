"""Rates of pairs under degradation, by hand; the study whole, on made-up and on real photographs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.datasets.pairs import Pair
from facever.errors import DataError
from facever.question import Question
from facever.studies import robustness as study
from facever.studies import run_study
from facever.studies import sample as samples
from facever.studies.page import write_study
from facever.studies.robustness_rates import rates
from facever.studies.runs import Options
from facever.studies.sample import Sample, part_of
from facever.studies.seen import Seen, answerable, answerable_grid
from facever.training.callbacks import Callback
from facever.verifier import Verifier


class Bounds:
    """The thresholds of a question."""

    threshold, lower_threshold = 0.5, 0.2


QUESTION: Any = Bounds()


def seen(angles: list[float], found: list[bool] | None = None, good: list[bool] | None = None) -> Seen:
    """Embeddings on a circle, by their angle in degrees."""
    n = len(angles)
    there = np.ones(n, bool) if found is None else np.array(found)
    vectors = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1).astype(np.float32)
    sure = there & (np.ones(n, bool) if good is None else np.array(good))
    return Seen(vectors * there[:, None], np.zeros((n, 4)), np.zeros((n, 5, 2)), there, sure, np.zeros((n, 2), bool))


# Photographs 0 and 1 show person 0, photographs 2 and 3 person 1, photograph 4 person 2.
PEOPLE = np.array([0, 0, 1, 1, 2])
SAMPLE = Sample(
    [Path(f"{p}/{i}.jpg") for i, p in enumerate(PEOPLE)],
    PEOPLE,
    np.array([0, 2, 0, 2]),
    np.array([1, 3, 2, 4]),
    np.array([True, True, False, False]),
    np.array([0, 1, 0, 1]),
)


def value(rate: dict[str, Any]) -> float:
    return float(rate["value"])


def test_rates_of_both_kinds_of_pairs_are_those_counted_by_hand() -> None:
    # Cosines: 0-1 cos 30° = 0.87, 2-3 cos 70° = 0.34. Strangers: 0-2 90°, 0-3 20°, 0-4 180°, 1-2 60° (0.5 just so or
    # just not: 61° here), 1-3 11°, 1-4 149°, 2-4 90°, 3-4 160°.
    all_seen = seen([0, 31, 92, 20, 180])
    found = rates(SAMPLE, all_seen, all_seen, QUESTION, replicates=20)
    genuine, strangers = found["genuine"], found["strangers"]
    assert genuine["pairs"] == 2
    assert value(genuine["accepted"]) == value(genuine["same"]) == 0.5
    assert value(genuine["undecided"]) == 0.5 and value(genuine["different"]) == 0
    assert strangers["pairs"] == 8
    assert value(strangers["same"]) == 2 / 8  # 0-3 and 1-3
    assert value(strangers["undecided"]) == 1 / 8  # 1-2, cos 61° = 0.48
    assert value(strangers["different"]) == 5 / 8
    assert value(strangers["same_of_decided"]) == pytest.approx(2 / 7)


def test_poor_photographs_leave_pairs_undecided_and_lost_faces_without_an_answer() -> None:
    poor = seen([0, 31, 92, 20, 180], found=[True, True, True, True, False], good=[True, True, True, False, True])
    found = rates(SAMPLE, poor, poor, QUESTION, replicates=20)
    strangers = found["strangers"]
    assert value(strangers["no_face"]) == 4 / 8  # pairs with photograph 4: 0, 1, 2 and 3; of eight
    assert value(strangers["accepted"]) == 2 / 4  # 0-3 and 1-3 of 0-2, 0-3, 1-2, 1-3
    assert value(strangers["same"]) == 0 and value(strangers["different"]) == 1 / 8  # 0-2
    assert value(strangers["undecided"]) == 3 / 8
    assert value(strangers["same_of_decided"]) == 0
    assert found["genuine"]["undecided"]["value"] == 0.5 and found["genuine"]["no_face"]["value"] == 0


def test_one_degraded_photograph_meets_every_untouched_one() -> None:
    clear = seen([0, 0, 90, 90, 180])
    poor = seen([90, 0, 90, 90, 180])  # photograph 0 is taken for person 1
    strangers = rates(SAMPLE, poor, clear, QUESTION, replicates=20)["strangers"]
    assert value(strangers["same"]) == 2 / 16  # photograph 0, degraded, with 2 and 3 untouched
    assert rates(SAMPLE, poor, clear, QUESTION, replicates=20)["genuine"]["accepted"]["value"] == 0.5


def test_nothing_found_gives_no_rates_but_shares_without_a_face() -> None:
    nothing = seen([0] * 5, found=[False] * 5)
    found = rates(SAMPLE, nothing, nothing, QUESTION, replicates=20)
    assert found["accuracy"] is None
    assert found["strangers"]["accepted"] == {"value": None, "ci95": None}
    assert value(found["strangers"]["no_face"]) == value(found["genuine"]["no_face"]) == 1


def test_without_any_false_accept_the_interval_is_wilsons() -> None:
    apart = seen([0, 0, 90, 90, 180])
    rate = rates(SAMPLE, apart, apart, QUESTION, replicates=20)["strangers"]["accepted"]
    z = 1.959964
    assert rate["value"] == 0
    assert rate["ci95"] == pytest.approx([0, z**2 / (8 + z**2)], abs=1e-6)


def test_intervals_are_those_of_a_bootstrap_over_people() -> None:
    rng = np.random.default_rng(0)
    n = 60
    people = np.repeat(np.arange(n // 2), 2)
    sample = Sample(
        [Path(f"{p}/{i}") for i, p in enumerate(people)],
        people,
        np.arange(0, n, 2),
        np.arange(1, n, 2),
        np.ones(n // 2, bool),
        np.arange(n // 2) % 2,
    )
    every = seen(list(rng.uniform(0, 180, n)))
    found = rates(sample, every, every, QUESTION, replicates=200)["strangers"]["accepted"]
    from facever.metrics.bootstrap import resampled_people

    cosines = every.embeddings @ every.embeddings.T
    draws = []
    for drawn in resampled_people(n // 2, 200):
        hits = total = 0.0
        for i in range(n):
            for j in range(i + 1, n):
                if people[i] != people[j]:
                    weight = drawn[people[i]] * drawn[people[j]]
                    total += weight
                    hits += weight * (cosines[i, j] >= 0.5)
        draws.append(hits / total)
    assert found["ci95"] == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=1e-5)


def test_pairs_covered_alike_are_not_answered() -> None:
    masked, shaded, plain = (np.array([row]) for row in ([True, False], [False, True], [False, False]))
    a, b, c = (replace(seen([0]), covered=each) for each in (masked, shaded, plain))
    for x, y, expected in ((a, a, False), (a, b, True), (a, c, True), (b, b, False), (c, c, True)):
        assert answerable(x, y).tolist() == [expected]
        assert answerable_grid(x, y).tolist() == [[expected]]


def test_a_part_has_as_many_pairs_of_each_kind_of_each_fold() -> None:
    pairs = [
        Pair(Path(f"{f}{s}{i}a"), Path(f"{f}{s}{i}b"), s, f) for f in range(3) for s in (True, False) for i in range(9)
    ]
    part = part_of(pairs, 4)
    assert part == part_of(pairs, 4) and part != part_of(pairs, 4, seed=1)
    counts = {(pair.fold, pair.same): 0 for pair in pairs}
    for pair in part:
        counts[pair.fold, pair.same] += 1
    assert set(counts.values()) == {4}
    assert [pairs.index(pair) for pair in part] == sorted(pairs.index(pair) for pair in part)
    assert part_of(pairs, 100) == pairs


def test_photographs_without_a_face_take_their_pairs_with_them() -> None:
    rest = SAMPLE.where(np.array([True, True, False, True, True]))
    assert [path.name for path in rest.paths] == ["0.jpg", "1.jpg", "3.jpg", "4.jpg"]
    assert rest.people.tolist() == [0, 0, 1, 2]
    assert (rest.a.tolist(), rest.b.tolist(), rest.same.tolist()) == ([0], [1], [True])


def test_what_is_seen_is_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    before = seen([10, 20], found=[True, False])
    before.save(tmp_path / "seen.npz")
    assert (tmp_path / "seen.npz").stat().st_mode & 0o777 == 0o600
    after = Seen.load(tmp_path / "seen.npz")
    assert (after.embeddings == before.embeddings).all() and after.found.tolist() == [True, False]
    (tmp_path / "seen.npz").write_bytes(b"damaged")
    with pytest.raises(DataError, match="delete"):
        Seen.load(tmp_path / "seen.npz")


def test_without_lfw_the_study_says_what_it_needs(tmp_path: Path) -> None:
    for name in ("robustness", "attacks"):
        with pytest.raises(DataError, match="--lfw"):
            run_study(name, Options(tmp_path), Callback())


FEW = ("untouched", "JPEG, quality 10", "an eighth of the size", "lower half cut off")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few conditions, few pairs, few draws."""
    chosen = {name: each for name, each in study.conditions().items() if name in FEW}
    monkeypatch.setattr(study, "conditions", lambda: chosen)
    monkeypatch.setattr(study, "REPLICATES", 20)
    monkeypatch.setattr(samples, "QUICK", 1)


@pytest.mark.slow
@pytest.mark.data
def test_on_real_photographs_the_study_is_whole_and_resumes(data_folder: Path, few: None, tmp_path: Path) -> None:
    options = Options(
        tmp_path, lfw=data_folder / "lfw", pairs=data_folder / "pairs.txt", quick=True, device="cpu", workers=1
    )
    outcome = run_study("robustness", options, Callback())
    write_study(tmp_path, outcome)
    told = json.loads((tmp_path / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    conditions = told["conditions"]
    assert list(conditions) == list(FEW)
    clear = conditions["untouched"]
    assert clear["without_face"] == 0 and clear["both"]["accuracy"]["value"] > 0.9
    assert clear["both"]["genuine"]["pairs"] == 10
    assert clear["both"] == clear["one"]
    eighth = conditions["an eighth of the size"]
    assert eighth["without_face"] > 0 or eighth["too_poor"] > 0.5
    for record in conditions.values():
        for side in ("both", "one"):
            for kind in ("genuine", "strangers"):
                parts = record[side][kind]
                total = sum(parts[key]["value"] for key in ("no_face", "same", "different", "undecided"))
                assert total == pytest.approx(1)
    assert (tmp_path / "far.svg").read_text().startswith("<svg")
    page = (tmp_path / "index.html").read_text()
    assert "image/jpeg" not in page and "Ranjan" not in page

    said: list[str] = []

    class Told(Callback):
        def say(self, message: str) -> None:
            said.append(message)

    again = run_study("robustness", options, Told())
    assert again.to_json() == outcome.to_json()
    assert not [message for message in said if message.startswith("run ")]


@pytest.mark.slow
@pytest.mark.data
def test_the_study_decides_as_verify_does(data_folder: Path, few: None, tmp_path: Path) -> None:
    options = Options(
        tmp_path, lfw=data_folder / "lfw", pairs=data_folder / "pairs.txt", quick=True, device="cpu", workers=1
    )
    sample = samples.lfw_sample(options, study.PAIRS)
    outcome = run_study("robustness", options, Callback())
    verifier = Verifier.load("default", "cpu")
    pairs = [(sample.paths[a], sample.paths[b]) for a, b in zip(sample.a, sample.b, strict=True)]
    genuine = [pair for pair, same in zip(pairs, sample.same, strict=True) if same]
    answers = [verifier.verify(a, b, faces="center") for a, b in genuine]
    parts = outcome.data["conditions"]["untouched"]["both"]["genuine"]
    for decision in ("same", "different", "undecided"):
        counted = sum(answer.decision == decision for answer in answers)
        assert parts[decision]["value"] == pytest.approx(counted / len(answers))
    assert Question(verifier.info, verifier.weights).threshold == outcome.data["threshold"]
