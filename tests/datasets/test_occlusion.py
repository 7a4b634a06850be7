from __future__ import annotations

import pytest
import torch

from facever.datasets.occlusion import Occlusion
from facever.weights.alignment import FACE_112X112

SKIN = 150.0


def covered(mask_share: float, glasses_share: float, n: int = 200, seed: int = 0) -> torch.Tensor:
    """Which pixels of plain gray crops are changed: (n, 112, 112)."""
    plain = torch.full((n, 3, 112, 112), SKIN)
    drawn = Occlusion(FACE_112X112, mask_share, glasses_share)(plain, torch.Generator().manual_seed(seed))
    assert drawn.min() >= 0 and drawn.max() <= 255
    return (drawn != plain).any(1)


def test_masks_cover_the_mouth_and_leave_the_eyes() -> None:
    changed = covered(1.0, 0.0)
    (left, right, _, left_mouth, right_mouth) = FACE_112X112.landmarks
    middle = ((left_mouth[0] + right_mouth[0]) / 2, (left_mouth[1] + right_mouth[1]) / 2)
    share = {point: changed[:, round(point[1]), round(point[0])].float().mean() for point in (left, right, middle)}
    assert share[middle] > 0.85  # the rest are hands that lie on a cheek
    assert share[left] < 0.05 and share[right] < 0.05
    assert 0.1 < changed.float().mean() < 0.4


def test_sunglasses_cover_both_eyes_and_leave_the_mouth() -> None:
    changed = covered(0.0, 1.0)
    for x, y in FACE_112X112.landmarks[:2]:
        assert changed[:, round(y), round(x)].all()
    for x, y in FACE_112X112.landmarks[3:]:
        assert not changed[:, round(y), round(x)].any()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_crops_is_covered(share: float) -> None:
    found = covered(share, 0.0, n=1000).any(2).any(1).float().mean()
    assert found == pytest.approx(share, abs=4 * (share * (1 - share) / 1000) ** 0.5)


def test_strangers_wear_masks_of_one_color_often_enough_to_be_told_apart_under_them() -> None:
    plain = torch.full((300, 3, 112, 112), SKIN)
    drawn = Occlusion(FACE_112X112, 1.0, 0.0)(plain, torch.Generator().manual_seed(0))
    color = (drawn[:, :, 92, 56] / 32).round()
    same = (color[:, None] == color[None]).all(2).float().mean()
    assert same > 0.05


def test_without_a_share_nothing_is_drawn_at_random_either() -> None:
    x, generator = torch.rand(4, 3, 112, 112) * 255, torch.Generator().manual_seed(5)
    assert Occlusion(FACE_112X112, 0.0, 0.0)(x, generator) is x
    assert torch.rand(1, generator=generator) == torch.rand(1, generator=torch.Generator().manual_seed(5))
