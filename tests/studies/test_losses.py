"""The study of losses: hard photographs, their share in training, and who gets the gradient."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from facever.datasets.pairs import Pair
from facever.studies.gradients import GradientShares, parts_of, read_shares
from facever.studies.intervals import seeds_and_people
from facever.studies.losses import left_out
from facever.studies.strata import (
    FAMILIES,
    OTHERS,
    Looks,
    Stratum,
    family_rows,
    figures_of,
    log_odds,
    strata_of_lfw,
    strata_of_people,
    stratum_pairs,
)
from facever.studies.testing import TestSet
from facever.training.callbacks import Callback
from facever.training.crops import CropSet
from facever.training.settings import TrainingSettings
from facever.training.trainer import Trainer
from facever.weights.alignment import ALIGNMENTS

TIGHT = ALIGNMENTS["tight-64x56"]


def people(families: int, others: int, shots: int) -> list[str]:
    """The person of each photograph."""
    names = [f"kin_F{i:04d}_MID1" for i in range(families)] + [f"celeba_{i}" for i in range(others)]
    return [name for name in names for _ in range(shots)]


def made_set(identities: list[str], crops: np.ndarray | None = None) -> TestSet:
    count = len(identities)
    if crops is None:
        crops = np.random.default_rng(0).integers(0, 256, (count, 16, 14, 3), np.uint8)
    pairs: list[Pair] = []
    return TestSet("made", [Path(f"{i}.jpg") for i in range(count)], identities, crops, pairs)


def looks(count: int) -> Looks:
    rising = np.arange(count, dtype=np.float64)
    return Looks(*(rising.copy() for _ in range(4)))


def test_training_sets_hold_equally_many_photographs_of_which_a_share_shows_families() -> None:
    identities = people(families=60, others=40, shots=3)  # 180 photographs of families, 120 of others
    kept_families = []
    for share in (0.0, 0.25, 0.5, 0.75):
        dropped = set(left_out(identities, share, seed=1))
        kept = [name for name in identities if name not in dropped]
        assert len(kept) == 120
        assert family_rows(kept).sum() == share * 120
        assert set(Counter(kept).values()) == {3}  # whole people
        kept_families.append({name for name in kept if name.startswith("kin")})
    # A larger share holds the families of a smaller one.
    assert all(a < b for a, b in itertools.pairwise(kept_families))
    assert left_out(identities, 0.5, seed=1) != left_out(identities, 0.5, seed=2)


def test_too_few_families_shorten_all_sets_alike() -> None:
    identities = people(families=10, others=100, shots=3)  # 30 of families: three quarters of 40
    for share in (0.0, 0.25, 0.75):
        dropped = set(left_out(identities, share, seed=0))
        kept = [name for name in identities if name not in dropped]
        assert 40 - 2 * 3 < len(kept) <= 40


def test_thirds_part_photographs_by_what_is_seen_of_them_and_the_lowest_is_the_hard_one() -> None:
    test = made_set(people(0, 30, 3))
    strata, contrasts = strata_of_lfw(test, looks(90))
    lowest = next(s for s in strata if s.name == "made, lowest sharpness")
    assert lowest.rows.tolist() == list(range(30)) and lowest.change is None
    thirds = [c for c in contrasts if c.kind == "thirds"]
    assert [(c.hard, c.easy) for c in thirds][1] == ("made, lowest sharpness", "made, highest sharpness")
    assert {c.easy for c in contrasts if c.kind == "degraded"} == {"made"}


def test_a_photograph_without_a_face_is_in_no_third() -> None:
    test = made_set(people(0, 10, 3))
    seen = looks(30)
    seen.score[4] = np.nan
    strata, _ = strata_of_lfw(test, seen)
    assert all(4 not in s.rows for s in strata if "score" in s.name)
    assert any(4 in s.rows for s in strata if "sharpness" in s.name)


def test_families_are_the_hard_people_where_names_tell_them() -> None:
    test = made_set(people(5, 5, 3))
    strata, contrasts = strata_of_people(test, looks(30))
    by_name = {s.name: s.rows.tolist() for s in strata}
    assert by_name[FAMILIES] == list(range(15)) and by_name[OTHERS] == list(range(15, 30))
    assert (contrasts[0].kind, contrasts[0].hard, contrasts[0].easy) == ("families", FAMILIES, OTHERS)
    _, without = strata_of_people(made_set(people(0, 5, 3)), looks(15))
    assert "families" not in {c.kind for c in without}


def test_tar_of_a_stratum_is_at_its_own_threshold() -> None:
    """Who it is, by angle. Photographs of the first ten people look alike, and of every second one of the others."""
    identities = people(0, 40, 2)
    angles = np.repeat(np.linspace(0, 1.4, 40), 2)
    angles[21::4] += 0.8
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    test = made_set(identities)
    rows = np.arange(80)
    found = figures_of(lambda crops: vectors, test, [Stratum("easy", rows[:20]), Stratum("hard", rows[20:])])
    assert found["easy"].tar == 1.0 and found["easy"].genuine == 10
    assert found["hard"].tar == 0.5
    assert set(found["easy"].replicates) == {1.0}
    assert len(set(found["hard"].replicates)) > 1


def test_a_change_is_made_to_the_crops_that_are_embedded() -> None:
    seen = []

    def embed(crops: np.ndarray) -> np.ndarray:
        seen.append(crops)
        return np.tile(np.array([1, 0], np.float32), (len(crops), 1))

    test = made_set(people(0, 20, 2))
    figures_of(embed, test, [Stratum("dark", np.arange(10, 40), lambda crops: crops // 2)])
    np.testing.assert_array_equal(seen[0], test.crops[10:] // 2)


def test_a_stratum_with_too_few_strangers_has_no_figures() -> None:
    assert stratum_pairs(people(0, 5, 2)) is None  # 40 pairs of strangers: none would be accepted at FAR 1e-2
    pairs = stratum_pairs(people(0, 10, 2))
    assert pairs is not None and pairs.same.sum() == 10 and (~pairs.same).sum() == 180


def test_many_photographs_have_all_genuine_pairs_and_drawn_strangers() -> None:
    identities = people(0, 1100, 2)
    pairs = stratum_pairs(identities)
    assert pairs is not None and pairs.same.sum() == 1100 and (~pairs.same).sum() == 50_000
    assert len(set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))) == 51_100


def test_seeds_and_people_add_in_quadrature() -> None:
    values = np.array([1.0, 2.0, 3.0])
    # Student's t with 2 degrees of freedom is 4.3027, and the standard error 1/sqrt(3).
    of_seeds = 4.3027 / math.sqrt(3)
    draws = np.tile(np.linspace(1.0, 3.0, 2001), (3, 1))  # the middle 95 % lie within 0.95 of the mean
    mean, ci95 = seeds_and_people(values, draws)
    half = math.hypot(of_seeds, 0.95)
    assert mean == 2 and ci95 == pytest.approx((2 - half, 2 + half), abs=1e-3)
    assert seeds_and_people(values[:1], draws[:1])[1] is None


def test_log_odds_weigh_what_is_missing() -> None:
    # Half of what was missing is gained in either case: from 0.9 to 0.95, and from 0.5 to 0.75, with odds of 2.1 and 3.
    assert float(log_odds(0.95, 10_000) - log_odds(0.9, 10_000)) == pytest.approx(math.log(19 / 9), abs=1e-2)
    assert float(log_odds(0.75, 10_000) - log_odds(0.5, 10_000)) == pytest.approx(math.log(3), abs=1e-3)


SMALL = {
    "network_arguments": {"widths": [8], "depths": [1], "stem": 4, "embedding_size": 8, "feature_norm": False},
    "batch_size": 12,
    "epochs": 2,
    "precision": "fp32",
    "compile": False,
}


def crop_set(identities: list[str]) -> CropSet:
    draw = np.random.default_rng(0)
    crops = draw.integers(0, 256, (len(identities), TIGHT.height + 16, TIGHT.width + 16, 3), np.uint8)
    paths = [f"{i}.jpg" for i in range(len(identities))]
    return CropSet(crops, np.arange(len(identities)), identities, paths, TIGHT, 8, [])


@pytest.mark.parametrize("loss", ["softmax", "l2-softmax", "l2-center"])
def test_a_photographs_part_of_the_gradient_is_that_of_the_dense_layers_weights(loss: str, device: str) -> None:
    crops = crop_set(people(3, 3, 2))
    trainer = Trainer(TrainingSettings(**SMALL, loss=loss), crops, torch.device(device))  # type: ignore[arg-type]
    trainer.train_step(0.5)
    rows = np.array([0, 5, 7])
    parts = parts_of(trainer, rows)
    network, loss_of = trainer.network.eval(), trainer.loss.eval()
    for row, part in zip(rows, parts, strict=True):
        network.zero_grad()
        label = torch.tensor([trainer.labels[row]], device=device)
        loss_of(network(trainer.seen(crops, np.array([row]))), label).loss.backward()
        weight = network.get_submodule("dense").weight
        assert isinstance(weight, torch.nn.Parameter) and weight.grad is not None
        assert part == pytest.approx(float(weight.grad.norm()), rel=1e-4)


def test_looking_at_gradients_leaves_a_training_as_it_is(tmp_path: Path) -> None:
    def trained(look: bool) -> Trainer:
        trainer = Trainer(TrainingSettings(**SMALL), crop_set(people(6, 6, 2)), torch.device("cpu"))  # type: ignore[arg-type]
        shares = GradientShares(tmp_path / "gradients.json", Callback())
        for step in range(4):
            trainer.train_step(step / 4)
            if look:
                shares.epoch_ended(trainer)
        return trainer

    first, second = trained(look=False).state(), trained(look=True).state()
    for part in ("network", "loss"):
        for name, tensor in first[part].items():
            assert torch.equal(tensor, second[part][name])
    found = read_shares(tmp_path / "gradients.json")
    assert found and all(0 < share < 1 for share in found.values())


def test_people_without_families_have_no_shares(tmp_path: Path) -> None:
    trainer = Trainer(TrainingSettings(**SMALL), crop_set(people(0, 12, 2)), torch.device("cpu"))  # type: ignore[arg-type]
    GradientShares(tmp_path / "gradients.json", Callback()).epoch_ended(trainer)
    assert read_shares(tmp_path / "gradients.json") == {}
