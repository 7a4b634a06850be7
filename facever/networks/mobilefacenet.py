"""MobileFaceNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, checked, require
from facever.networks.registry import register


class _Halving(nn.Conv2d):
    """A 3x3 convolution of stride 2 that pads on the right and at the bottom only, as TensorFlow's SAME does.

    Computed with a zero row and column before the kernel and symmetric padding, which spares a copy of the input. A
    depthwise one that learns is computed at every position, and every second one is kept: PyTorch's gradient of a
    strided depthwise convolution takes ten times as long on a CPU.
    """

    def __init__(self, channels_in: int, channels: int, groups: int = 1) -> None:
        super().__init__(channels_in, channels, 3, 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W), H and W even -> (N, C, H / 2, W / 2)
        if self.groups > 1 and self.weight.requires_grad and torch.is_grad_enabled():
            return F.conv2d(x, self.weight, self.bias, 1, 1, groups=self.groups)[..., 1::2, 1::2]
        return F.conv2d(x, F.pad(self.weight, (1, 0, 1, 0)), self.bias, 2, 1, groups=self.groups)

    def padded(self) -> nn.Conv2d:
        """The same as a plain convolution, its kernel padded once and for all."""
        plain = nn.Conv2d(self.in_channels, self.out_channels, 4, 2, 1, groups=self.groups)
        plain.weight, plain.bias = nn.Parameter(F.pad(self.weight, (1, 0, 1, 0))), self.bias
        return plain


class Bottleneck(nn.Module):
    """Expansion, depthwise convolution, and a linear projection; x is added where the shape stays."""

    def __init__(self, channels_in: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and channels_in == channels
        wide = expansion * channels_in
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, wide, 1),
            nn.PReLU(wide),
            _Halving(wide, wide, groups=wide) if stride == 2 else nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W) -> (N, C, H / stride, W / stride)
        return x + self.body(x) if self.residual else self.body(x)


@register("mobilefacenet")
class MobileFaceNet(EmbeddingNetwork):
    """MobileFaceNet, each batch normalization folded into the convolution before it: 1,292,992 parameters.

    S. Chen et al., *MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices*, 2018,
    table 1, in the layout of the TensorFlow implementation by sirius-ai: the feature follows a further linear layer.

    Parameters
    ----------
    embedding_size : int
    input_size : (int, int)
        Height and width, both divisible by 16.
    """

    STAGES = ((64, 2, 5, 2), (128, 4, 1, 2), (128, 2, 6, 1), (128, 4, 1, 2), (128, 2, 2, 1))
    # channels, expansion, blocks, stride of the first

    def __init__(self, embedding_size: int = 192, input_size: Sequence[int] = (112, 112)) -> None:
        super().__init__()
        height, width = checked(embedding_size, input_size)
        require(height % 16 == 0 and width % 16 == 0, f"four halvings need sides divisible by 16, not {input_size}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        layers: list[nn.Module] = [
            _Halving(3, 64),
            nn.PReLU(64),
            nn.Conv2d(64, 64, 3, padding=1, groups=64),
            nn.PReLU(64),
            nn.Conv2d(64, 64, 1),
        ]
        channels = 64
        for channels_of_stage, expansion, blocks, stride in self.STAGES:
            for i in range(blocks):
                layers.append(Bottleneck(channels, channels_of_stage, expansion, stride if i == 0 else 1))
                channels = channels_of_stage
        self.features = nn.Sequential(*layers, nn.Conv2d(channels, 512, 1), nn.PReLU(512))
        self.pool = nn.Conv2d(512, 512, (height // 16, width // 16), groups=512)
        self.dense = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, embedding_size))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 112, 112) -> (N, d)
        return self.dense(self.pool(self.features(x)).flatten(1))

    @torch.no_grad()
    def fold(self) -> Self:
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, _Halving):
                    setattr(module, name, child.padded())
        return super().fold()
