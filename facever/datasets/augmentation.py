"""Augmentation of whole batches on the training device.

Random numbers come from a generator on the CPU whatever the device, so that a seed gives the same result everywhere.
Shapes: N crops, H and W pixels of the network's input, m pixels of margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facever.datasets.occlusion import Occlusion
from facever.weights.alignment import Alignment


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strength of the augmentation. Each `..._share` is the probability of a change.

    Attributes
    ----------
    mirror : bool
        Mirror half of the crops.
    shift : float
        Largest shift, in pixels of the crop, in each direction.
    scale : float
        Largest relative change of size.
    rotation : float
        Largest rotation in degrees.
    light : float
        Largest relative change of contrast and (as a share of full white) of brightness.
    gray_share, small_share, border_share, cut_share : float
        Removed color; resolution lowered down to `smallest` of the side; a border of fill at the top, the sides or the
        bottom, as tightly cut photographs have it; an erased rectangle.
    mask_share, glasses_share : float
        A mask or a hand drawn over the lower face; sunglasses.
    """

    shift: float = 3.0
    scale: float = 0.1
    rotation: float = 6.0
    light: float = 0.25
    gray_share: float = 0.1
    small_share: float = 0.3
    smallest: float = 0.3
    border_share: float = 0.35
    border: float = 0.3
    cut_share: float = 0.3
    cut: float = 0.35
    mask_share: float = 0.0
    glasses_share: float = 0.0
    mirror: bool = True

    @classmethod
    def none(cls) -> Augmentation:
        """No change at all."""
        shares = {"gray_share": 0.0, "small_share": 0.0, "border_share": 0.0, "cut_share": 0.0}
        return cls(shift=0.0, scale=0.0, rotation=0.0, light=0.0, mirror=False, **shares)


class Augmenter:
    """Crops with a margin -> augmented crops without it."""

    def __init__(self, settings: Augmentation, alignment: Alignment, margin: int) -> None:
        self.settings, self.margin = settings, margin
        self.height, self.width = alignment.height, alignment.width
        self.occlude = Occlusion(alignment, settings.mask_share, settings.glasses_share)
        self.memory_format = torch.channels_last

    def __call__(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (N, H + 2m, W + 2m, 3) -> float32 (N, 3, H, W) in [0, 255], channels last in memory."""
        n = len(crops)
        x = crops.permute(0, 3, 1, 2).float()
        x = self._moved(x, generator)
        x = self.occlude(x, generator)
        x = self._small(x, generator)
        x = self._lit(x, generator)
        keep = self._bordered(n, generator) & self._cut(n, generator)  # (N, 1, H, W)
        return (x * keep.to(x.device)).contiguous(memory_format=self.memory_format)

    def _moved(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror, rotate, scale and shift, in one resampling."""
        s, n = self.settings, len(x)
        if not (s.shift or s.scale or s.rotation or s.mirror):
            m = self.margin
            return x[..., m : m + self.height, m : m + self.width]
        uniform = torch.rand(5, n, generator=generator) * 2 - 1
        angle = uniform[0] * math.radians(s.rotation)
        size = 1 + uniform[1] * s.scale
        mirror = uniform[4].sign() if s.mirror else torch.ones(n)
        # grid_sample counts from -1 to 1 over the padded crop; the window covers its middle part.
        half_h, half_w = self.height / 2, self.width / 2
        full_h, full_w = half_h + self.margin, half_w + self.margin
        cos, sin = angle.cos() * size, angle.sin() * size
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = cos * half_w / full_w * mirror
        theta[:, 0, 1] = -sin * half_h / full_w
        theta[:, 1, 0] = sin * half_w / full_h * mirror
        theta[:, 1, 1] = cos * half_h / full_h
        theta[:, 0, 2] = uniform[2] * s.shift / full_w
        theta[:, 1, 2] = uniform[3] * s.shift / full_h
        grid = F.affine_grid(theta.to(x.device), [n, 3, self.height, self.width], align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _small(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Lower the resolution of some crops. One size per batch, so that it is one operation."""
        s = self.settings
        chosen = torch.rand(len(x), generator=generator) < s.small_share
        size = s.smallest + (1 - s.smallest) * float(torch.rand(1, generator=generator))
        if not chosen.any() or size >= 1:
            return x
        rows = chosen.nonzero()[:, 0].to(x.device)
        return x.index_copy(0, rows, coarsened(x[rows], size))

    def _lit(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Contrast about the crop's mean, brightness, and removed color."""
        s, n = self.settings, len(x)
        contrast = 1 + s.light * (torch.rand(n, 1, 1, 1, generator=generator) * 2 - 1)
        brightness = 255 * s.light / 2 * (torch.rand(n, 1, 1, 1, generator=generator) * 2 - 1)
        gray = (torch.rand(n, 1, 1, 1, generator=generator) < s.gray_share).float()
        contrast, brightness, gray = (t.to(x.device) for t in (contrast, brightness, gray))
        luma = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = x + gray * (luma - x)
        mean = luma.mean((2, 3), keepdim=True)
        return ((x - mean) * contrast + mean + brightness).clamp_(0, 255)

    def _bordered(self, n: int, generator: torch.Generator) -> Tensor:
        """Mask (N, 1, H, W), False in borders of fill."""
        s = self.settings
        has = (torch.rand(n, 1, generator=generator) < s.border_share).float()
        # Half of the borders at the top, as above the brows; a smaller one at each other side.
        depth = torch.rand(n, 4, generator=generator) * s.border * has * torch.tensor([1.0, 0.4, 0.4, 0.4])
        depth *= torch.rand(n, 4, generator=generator) < torch.tensor([0.8, 0.3, 0.3, 0.3])
        top, bottom, left, right = (depth[:, k, None] for k in range(4))
        rows = (torch.arange(self.height) + 0.5) / self.height
        columns = (torch.arange(self.width) + 0.5) / self.width
        keep_rows = (rows >= top) & (rows <= 1 - bottom)  # (N, H)
        keep_columns = (columns >= left) & (columns <= 1 - right)  # (N, W)
        return (keep_rows[:, :, None] & keep_columns[:, None, :])[:, None]

    def _cut(self, n: int, generator: torch.Generator) -> Tensor:
        """Mask (N, 1, H, W), False in a rectangle of some crops."""
        s = self.settings
        has = torch.rand(n, 1, generator=generator) < s.cut_share
        sides = torch.rand(n, 2, generator=generator) * s.cut
        corner = torch.rand(n, 2, generator=generator) * (1 - sides)
        rows = (torch.arange(self.height) + 0.5) / self.height
        columns = (torch.arange(self.width) + 0.5) / self.width
        inside_rows = (rows >= corner[:, :1]) & (rows <= corner[:, :1] + sides[:, :1]) & has
        inside_columns = (columns >= corner[:, 1:]) & (columns <= corner[:, 1:] + sides[:, 1:])
        return ~(inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def coarsened(x: Tensor, size: float) -> Tensor:
    """Crops (N, C, H, W) reduced to `size` of their sides, at least 4 pixels, and enlarged again."""
    height, width = x.shape[2:]
    smaller = (max(4, round(height * size)), max(4, round(width * size)))
    # Apple's GPU averages over whole multiples only.
    low = F.interpolate(x.cpu() if x.device.type == "mps" else x, size=smaller, mode="area").to(x.device)
    return F.interpolate(low, size=(height, width), mode="bilinear", align_corners=False)
