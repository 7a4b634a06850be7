from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facever.datasets.augmentation import Augmentation, Augmenter
from facever.weights.alignment import Alignment

H, W, M = 32, 28, 4
TEMPLATE = Alignment("test", H, W, ((9.0, 12.0), (19.0, 12.0), (14.0, 18.0), (10.0, 24.0), (18.0, 24.0)))
NONE = Augmentation(shift=0, scale=0, rotation=0, light=0, gray_share=0, small_share=0, border_share=0, cut_share=0)


def crops(n: int = 6) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (n, H + 2 * M, W + 2 * M, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def augmented(settings: Augmentation, pixels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return Augmenter(settings, TEMPLATE, M)(pixels, torch.Generator().manual_seed(seed))


def inner(pixels: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) of the middle of each crop, by plain slicing."""
    return pixels[:, M : M + H, M : M + W].permute(0, 3, 1, 2).float()


def test_without_any_change_but_the_mirror_crops_are_those_of_inference() -> None:
    pixels = crops(64)
    changed, plain = augmented(NONE, pixels), inner(pixels)
    mirrored = [torch.allclose(c, p.flip(2), atol=1e-2) for c, p in zip(changed, plain, strict=True)]
    same = [torch.allclose(c, p, atol=1e-2) for c, p in zip(changed, plain, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48  # half of 64, four standard deviations


def test_without_any_change_the_middle_of_the_crop_is_left() -> None:
    pixels = crops()
    torch.testing.assert_close(augmented(Augmentation.none(), pixels), inner(pixels), rtol=0, atol=1e-3)


def test_without_the_mirror_other_changes_stay() -> None:
    pixels = crops(64)
    both, straight = (augmented(replace(NONE, shift=2.0, mirror=mirror), pixels) for mirror in (True, False))
    same = [torch.equal(a, b) for a, b in zip(both, straight, strict=True)]
    assert 16 < sum(same) < 48  # those that were not mirrored; half of 64, four standard deviations
    assert not any(torch.allclose(a, b, atol=1) for a, b in zip(straight, inner(pixels), strict=True))


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    pixels = crops()
    first, again, other = (augmented(Augmentation(), pixels, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other)


def test_values_stay_pixels_and_the_shape_that_of_the_network() -> None:
    x = augmented(Augmentation(), crops(200))
    assert x.shape == (200, 3, H, W)
    assert x.dtype == torch.float32
    assert x.min() >= 0 and x.max() <= 255


def test_shifts_stay_inside_the_margin_so_that_no_fill_appears() -> None:
    white = torch.full((100, H + 2 * M, W + 2 * M, 3), 255, dtype=torch.uint8)
    x = augmented(replace(NONE, shift=M - 0.5), white)
    torch.testing.assert_close(x, torch.full_like(x, 255.0))


def test_a_border_blanks_the_top_more_often_than_the_bottom_and_at_most_its_share() -> None:
    white = torch.full((400, H + 2 * M, W + 2 * M, 3), 255, dtype=torch.uint8)
    x = augmented(replace(NONE, border_share=1.0, border=0.3), white)
    blank_rows = (x[:, 0] == 0).all(2)  # (N, H)
    assert blank_rows[:, 0].float().mean() > 2 * blank_rows[:, -1].float().mean()
    assert blank_rows.sum(1).max() <= 0.3 * 1.4 * H + 1


def test_a_cut_blanks_one_rectangle_of_at_most_its_share() -> None:
    white = torch.full((300, H + 2 * M, W + 2 * M, 3), 255, dtype=torch.uint8)
    x = augmented(replace(NONE, cut_share=1.0, cut=0.4), white)
    blank = x[:, 0] == 0
    for mask in blank[blank.any(2).any(1)]:
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()  # a full rectangle
        assert rows.sum() <= 0.4 * H + 1 and columns.sum() <= 0.4 * W + 1
    assert blank.any()


def test_gray_crops_have_three_equal_channels_with_the_weights_of_luma() -> None:
    red = torch.zeros(50, H + 2 * M, W + 2 * M, 3, dtype=torch.uint8)
    red[..., 0] = 200
    x = augmented(replace(NONE, gray_share=1.0), red)
    torch.testing.assert_close(x, torch.full_like(x, 200 * 0.299))


def test_small_crops_lose_detail_but_not_their_mean() -> None:
    stripes = torch.zeros(64, H + 2 * M, W + 2 * M, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 200
    x = augmented(replace(NONE, small_share=1.0, smallest=0.25), stripes)
    plain = augmented(NONE, stripes)
    assert x.std() < 0.7 * plain.std()
    assert abs(float(x.mean() - plain.mean())) < 3


@pytest.mark.parametrize("seed", range(3))
def test_light_keeps_the_order_of_gray_values(seed: int) -> None:
    ramp = torch.arange(W + 2 * M).repeat(20, H + 2 * M, 1)[..., None].repeat(1, 1, 1, 3).to(torch.uint8) + 100
    x = augmented(replace(NONE, light=0.3), ramp, seed)
    steps = x[:, 0, 0].diff(dim=1)
    assert ((steps > 0).all(1) | (steps < 0).all(1)).all()  # falling where mirrored
    assert x.mean((1, 2, 3)).std() > 1  # brightness differs from crop to crop
