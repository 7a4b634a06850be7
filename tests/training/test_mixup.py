from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import SETTINGS, noise

from facever.training.distillation.mixup import LEAST, MOST, MixupPairs, draw_mixup_pairs
from facever.training.trainer import Trainer

MIXED = replace(SETTINGS, teacher="any", mixup=0.5)


def mixup_pairs(*each: tuple[int, int, float]) -> MixupPairs:
    first, second, share = zip(*each, strict=True)
    return MixupPairs(np.array(first), np.array(second), np.array(share, np.float32))


def test_a_mixture_is_the_weighted_mean_of_two_crops() -> None:
    crops = noise(3)
    plain = replace(crops, crops=np.stack([np.full((80, 72, 3), value, np.uint8) for value in (0, 100, 201)]))
    mixup = mixup_pairs((0, 1, 0.3), (2, 0, 0.5), (1, 2, 0.4)).of(plain, np.array([2, 0]))
    assert mixup.shape == (2, 80, 72, 3)
    assert np.unique(mixup[0]).tolist() == [161]  # 0.4 · 100 + 0.6 · 201 = 160.6
    assert np.unique(mixup[1]).tolist() == [70]  # 0.3 · 0 + 0.7 · 100


def test_people_of_one_source_are_mixed_and_each_source_as_often() -> None:
    identities = [f"kin_{i // 3}" for i in range(30)] + [f"celeba_{i // 2}" for i in range(300)]
    sources = ["kin"] * 30 + ["celeba"] * 300
    drawn = draw_mixup_pairs(identities, sources, seed=3, a_row=4)
    assert len(drawn) == 4 * 330
    assert drawn.share.min() >= LEAST and drawn.share.max() <= MOST
    of_kin = drawn.first < 30
    assert ((drawn.second < 30) == of_kin).all()
    assert of_kin.mean() == pytest.approx(0.5, abs=0.05)  # 1,320 draws: 0.05 is 3.6 standard errors
    again = draw_mixup_pairs(identities, sources, seed=3, a_row=4)
    assert (again.first == drawn.first).all() and (again.share == drawn.share).all()
    assert (draw_mixup_pairs(identities, sources, seed=4, a_row=4).first != drawn.first).any()


def test_people_of_one_source_whatever_their_names_are_mixed_as_often_as_each_other() -> None:
    identities = ["Ann_A"] * 60 + ["Ann_B"] * 20 + ["Bob_C"] * 20  # the names' first parts are no sources
    drawn = draw_mixup_pairs(identities, [""] * 100, seed=1, a_row=4)
    people = np.repeat([0, 1, 2], [60, 20, 20])
    for rows in (drawn.first, drawn.second):
        shares = np.bincount(people[rows]) / len(drawn)
        assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.09)  # 400 draws: 0.09 is 3.8 standard errors
    crossed = (people[drawn.first] == 2) != (people[drawn.second] == 2)
    assert crossed.mean() == pytest.approx(4 / 9, abs=0.1)  # one of the two is Bob


def test_identities_are_asked_of_photographs_alone_and_the_teacher_of_all() -> None:
    crops, mixup = noise(), mixup_pairs(*[(0, i, 0.5) for i in range(1, 6)])
    targets = F.normalize(torch.randn(13, 5, generator=torch.Generator().manual_seed(0)))
    asked: dict[str, torch.Tensor] = {}
    trainer = Trainer(MIXED, crops, torch.device("cpu"), targets=targets, mixup_pairs=mixup)
    assert trainer.distillation is not None
    trainer.loss.register_forward_pre_hook(lambda module, args: asked.update(features=args[0], labels=args[1]))
    trainer.distillation.register_forward_pre_hook(lambda module, args: asked.update(all=args[0], targets=args[1]))
    trainer.train_step(0.0)
    assert asked["features"].shape == (4, 6) and asked["all"].shape == (8, 6)
    assert torch.equal(asked["all"][:4], asked["features"])
    rows = [int((targets == wanted).all(1).nonzero()) for wanted in asked["targets"]]
    assert max(rows[:4]) < 8 <= min(rows[4:])
    assert [row // 2 for row in rows[:4]] == asked["labels"].tolist()  # two photographs of each person


def test_without_a_teacher_there_is_nobody_to_judge_mixtures() -> None:
    with pytest.raises(ValueError, match="mixup faces are supervised by a teacher"):
        replace(MIXED, teacher=None)
    with pytest.raises(ValueError, match=r"mixup is in \[0, 1\)"):
        replace(MIXED, mixup=1.0)
