"""Occlusion drawn onto aligned crops: masks, hands and sunglasses, where the alignment's landmarks say.

Shapes: N crops, H and W pixels. Coordinates are relative to the face: u to the right and v down from the nose, in
distances of the eyes and of the mouth.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from facever.weights.alignment import Alignment

# Gray levels in [0, 255]: white, light blue, gray, dark blue, black; and any other color.
FABRICS = ((235.0, 235.0, 235.0), (150.0, 190.0, 215.0), (130.0, 130.0, 130.0), (40.0, 50.0, 90.0), (25.0, 25.0, 25.0))
HAND = 0.25  # the share of hands among what covers the lower face


class Occlusion:
    """Draws masks, hands and sunglasses.

    Parameters
    ----------
    alignment : Alignment
        Of the crops.
    mask_share, glasses_share : float in [0, 1]
        The probability that a crop's lower face, or its eyes, are covered.
    """

    def __init__(self, alignment: Alignment, mask_share: float, glasses_share: float) -> None:
        self.mask_share, self.glasses_share = mask_share, glasses_share
        left, right, nose, left_mouth, right_mouth = alignment.landmarks
        across, down = right[0] - left[0], (left_mouth[1] + right_mouth[1]) / 2 - nose[1]
        self.u = ((torch.arange(alignment.width) - nose[0]) / across).view(1, 1, -1)
        self.v = ((torch.arange(alignment.height) - nose[1]) / down).view(1, -1, 1)
        self.eyes = tuple(((x - nose[0]) / across, (y - nose[1]) / down) for x, y in (left, right))

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Float (N, 3, H, W) in [0, 255] -> the same, some faces covered."""
        for shape, filled in self.covers(x, generator):
            x = torch.where(shape[:, None].to(x.device), filled.to(x.device), x)
        return x

    def covers(self, x: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """What covers the faces: shapes, bool (N, H, W), and the pixels within them, (N, 3, H, W) in [0, 255]."""
        if self.mask_share:
            yield self._filled(*self._lower(x, generator), self.mask_share, generator)
        if self.glasses_share:
            yield self._filled(*self._glasses(len(x), generator), self.glasses_share, generator)

    def _filled(self, shape: Tensor, color: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The shapes (N, H, W) of a share of the crops, and their colors (N, 3, 1, 1), lit a little unevenly."""
        n = len(shape)
        chosen = torch.rand(n, 1, 1, generator=generator) < share
        slope = (torch.rand(n, 2, 1, 1, generator=generator) - 0.5) * 0.4
        shade = 1 + slope[:, 0] * self.u + slope[:, 1] * self.v / 2  # (N, H, W)
        noise = torch.randn(n, 1, *shade.shape[1:], generator=generator) * 6
        return shape & chosen, (color * shade[:, None] + noise).clamp(0, 255)

    def _lower(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Shapes and colors of masks, and of hands in some crops."""
        n = len(x)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, 1, 1, generator=generator)

        # A mask: below a curve over the nose, within a rounded outline down to the chin.
        top, bottom, half = uniform(-0.7, 0.4), uniform(2.0, 2.9), uniform(0.85, 1.15)
        outline = (self.u.abs() / half) ** 3 + ((self.v - 0.5).clamp(min=0) / (bottom - 0.5)) ** 3 < 1
        mask = outline & (self.v > top + uniform(0.0, 0.8) * self.u**2)
        # A hand: an oblique oval over the mouth or a cheek.
        center_u, center_v, turn = uniform(-0.4, 0.4), uniform(0.3, 1.5), uniform(-0.8, 0.8)
        along, across = self.u - center_u + turn * (self.v - center_v) / 2, self.v - center_v
        hand = (along / uniform(0.35, 0.8)) ** 2 + (across / uniform(0.6, 1.4)) ** 2 < 1
        is_hand = torch.rand(n, 1, 1, generator=generator) < HAND
        fabric = torch.cat([torch.tensor(FABRICS), torch.rand(len(FABRICS), 3, generator=generator) * 255])
        color = fabric[torch.randint(len(fabric), (n,), generator=generator)].view(n, 3, 1, 1)
        skin = x.mean((2, 3), keepdim=True).cpu() * uniform(0.8, 1.4)[..., None]
        return torch.where(is_hand, hand, mask), torch.where(is_hand[..., None], skin, color)

    def _glasses(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Shapes and colors of sunglasses: a dark lens over each eye, and a bridge."""

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, 1, 1, generator=generator)

        wide, high, square = uniform(0.3, 0.46), uniform(0.4, 0.75), uniform(2.0, 5.0)
        shape = torch.zeros(n, self.v.shape[1], self.u.shape[2], dtype=torch.bool)
        for u, v in self.eyes:
            shape |= ((self.u - u).abs() / wide) ** square + ((self.v - v).abs() / high) ** square < 1
        middle = sum(v for _, v in self.eyes) / 2
        shape |= (self.u.abs() < 0.5) & ((self.v - middle + 0.15).abs() < uniform(0.04, 0.1))
        return shape, uniform(5, 70)[..., None].expand(n, 3, 1, 1)
