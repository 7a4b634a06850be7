from __future__ import annotations

import math

import numpy as np
import pytest

from facever.training.held_out import by_source, held_out_figures, pair_cosines, tar_by_source
from facever.training.validation import Validation, validate


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_pairs_are_of_a_person_of_relatives_or_of_strangers_as_a_loop_says() -> None:
    names = ["kin_F1_MID1", "kin_F1_MID1", "kin_F1_MID2", "kin_F2_MID1", "celeba_1"]
    pairs = pair_cosines(on_circle(0, 10, 30, 70, 150), names)
    assert pairs.genuine == pytest.approx([math.cos(math.radians(10))])
    assert pairs.relatives == pytest.approx([math.cos(math.radians(d)) for d in (30, 20)])
    assert sorted(pairs.strangers) == pytest.approx(
        sorted(math.cos(math.radians(d)) for d in (70, 150, 60, 140, 40, 120, 80)), abs=1e-6
    )


def test_more_rows_than_a_block_lose_no_pair() -> None:
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(1100, 3)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = pair_cosines(embeddings, [f"a_{i // 2}" for i in range(1100)])
    assert (len(pairs.genuine), len(pairs.relatives), len(pairs.strangers)) == (550, 0, 1100 * 1099 // 2 - 550)
    naive = [float(embeddings[i] @ embeddings[i + 1]) for i in range(0, 1100, 2)]
    assert sorted(pairs.genuine) == pytest.approx(sorted(naive), abs=1e-6)


def test_each_source_is_judged_by_the_same_threshold_and_supported_rates_only() -> None:
    # 100 people a source: in "easy" they stand 3.6 degrees apart, in "hard" all but one pair coincide.
    easy = on_circle(*np.repeat(np.arange(100) * 3.6, 2))
    hard = on_circle(*np.zeros(200))
    names = [f"{source}_{i // 2}" for source in ("easy", "hard") for i in range(200)]
    sources = ["easy"] * 200 + ["hard"] * 200
    figures = held_out_figures(np.concatenate([easy, hard]), names, sources, threshold=math.cos(math.radians(1.8)))
    assert figures.keys() == {"easy", "hard"}
    assert figures["easy"]["people"] == figures["hard"]["people"] == 100
    assert (figures["easy"]["genuine"], figures["easy"]["strangers"]) == (100, 200 * 199 // 2 - 100)
    assert set(figures["easy"]["tar"]) == {"0.01", "0.001"}  # 19,800 strangers: 1.98 expected at 1e-4
    assert figures["easy"]["tar"]["0.001"] == 1.0
    assert figures["hard"]["tar"]["0.001"] == 0.0
    assert (figures["easy"]["far_at_threshold"], figures["hard"]["far_at_threshold"]) == (0.0, 1.0)
    assert figures["easy"]["tar_at_threshold"] == 1.0
    assert "far_of_relatives" not in figures["easy"]


def test_sources_without_pairs_enough_are_left_out_and_the_score_is_the_sources_mean() -> None:
    # Source a: ten people, 36 degrees apart; b: one genuine pair and no strangers; c: four strangers, too few for 0.1.
    embeddings = np.concatenate([on_circle(*np.repeat(np.arange(10) * 36, 2)), on_circle(45, 50, 0, 0, 90, 90)])
    names = [f"a_{i // 2}" for i in range(20)] + ["b_1", "b_1", "c_1", "c_1", "c_2", "c_2"]
    apart = by_source(embeddings, names, ["a"] * 20 + ["b"] * 2 + ["c"] * 4)
    assert tar_by_source(apart, 0.1) == {"a": 1.0}
    assert Validation(0.9, 0.3, {"a": 0.8, "b": 0.4}).score == pytest.approx(0.6)
    assert Validation(0.9, 0.3, {}).score == 0.3
    assert Validation(0.9, None, {}, None).score == 0.9


def test_validation_reads_tar_at_the_rarest_rate_that_its_pairs_support() -> None:
    def validated(people: int) -> tuple[float | None, float | None]:
        embeddings = on_circle(*np.repeat(np.arange(people) * 360 / people, 2))
        found = validate(embeddings, [f"p{i // 2}" for i in range(2 * people)], [""] * 2 * people, seed=0)
        assert found is not None
        return found.far, found.tar

    # 2 p photographs have p (2 p - 1) pairs, p of them genuine: 84 impostor pairs, 112, 1,012 and 10,224.
    assert validated(7) == (None, None)
    assert validated(8) == (0.09, 1.0)
    assert validated(23) == (0.01, 1.0)
    assert validated(72) == (0.001, 1.0)
