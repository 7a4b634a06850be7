"""The paper's Face-ResNet, and a slim one for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, checked, require
from facever.networks.registry import register


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of as many channels, each followed by (batch normalization and) PReLU."""

    def __init__(self, channels: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, batch_norm=batch_norm),
            *_convolution(channels, channels, batch_norm=batch_norm),
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> the same
        return x + self.body(x)


def _convolution(channels_in: int, channels: int, *, stride: int = 1, batch_norm: bool = False) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=not batch_norm)
    norm = [nn.BatchNorm2d(channels)] if batch_norm else []
    return [convolution, *norm, nn.PReLU(channels)]


@register("face_resnet")
class FaceResNet(EmbeddingNetwork):
    """The paper's network: 27 convolutions and a dense layer; the classifier of the loss is the second dense one.

    Every convolution is 3x3 with padding 1, followed by PReLU; every pool is 2x2 with stride 2.

    Parameters
    ----------
    embedding_size : int
        512 in the paper.
    input_size : (int, int)
        Height and width, both divisible by 16; 112x96 in the paper.
    """

    STAGES = ((64, 1), (128, 2), (256, 5), (512, 3))  # channels, residual blocks

    def __init__(self, embedding_size: int = 512, input_size: Sequence[int] = (112, 96)) -> None:
        super().__init__()
        height, width = checked(embedding_size, input_size)
        require(height % 16 == 0 and width % 16 == 0, f"four pools need sides divisible by 16, not {input_size}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        layers = _convolution(3, 32)
        channels = 32
        for width_of_stage, blocks in self.STAGES:
            layers += _convolution(channels, width_of_stage)
            layers += [nn.MaxPool2d(2)]
            layers += [ResidualBlock(width_of_stage) for _ in range(blocks)]
            channels = width_of_stage
        self.features = nn.Sequential(*layers)
        self.dense = nn.Linear(channels * (height // 16) * (width // 16), embedding_size)
        self._initialize()

    def _initialize(self) -> None:
        """As in the authors' code: Xavier, but near zero inside the residual blocks, which thus begin as identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(module.weight, gain=2**0.5 if isinstance(module, nn.Conv2d) else 1.0)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                for module in block.body:
                    if isinstance(module, nn.Conv2d):
                        nn.init.normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 112, 96)
        x = self.features(x)  # (N, 512, 7, 6)
        return self.dense(x.flatten(1))  # (N, 512)


@register("face_resnet_slim")
class FaceResNetSlim(EmbeddingNetwork):
    """The Face-ResNet plan for CPUs.

    A strided convolution replaces each convolution and pool, channels are fewer, and batch normalization follows each
    convolution and, optionally, the dense layer.

    Parameters
    ----------
    widths, depths : sequences of as many int
        Channels and residual blocks of each stage; a stage halves the resolution.
    stem : int
        Channels of the first convolution, at full resolution.
    dropout : float in [0, 1)
        Share of the dense layer's inputs dropped in training.
    feature_norm : bool
        Whether batch normalization follows the dense layer, which keeps the norms of features similar under any loss.
        The paper's network has none.
    """

    def __init__(
        self,
        embedding_size: int = 256,
        input_size: Sequence[int] = (112, 96),
        widths: Sequence[int] = (32, 64, 128, 256),
        depths: Sequence[int] = (1, 2, 5, 3),
        stem: int = 32,
        dropout: float = 0.0,
        feature_norm: bool = True,
    ) -> None:
        super().__init__()
        height, width = checked(embedding_size, input_size)
        require(len(widths) == len(depths) > 0, f"as many widths as depths, not {widths} and {depths}")
        require(min(widths) > 0 and stem > 0, "a stage needs at least one channel")
        require(min(depths) >= 0, "a stage can't have a negative number of blocks")
        require(0 <= dropout < 1, f"dropout is a share in [0, 1), not {dropout}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        layers = _convolution(3, stem, batch_norm=True)
        channels = stem
        for channels_of_stage, blocks in zip(widths, depths, strict=True):
            layers += _convolution(channels, channels_of_stage, stride=2, batch_norm=True)
            layers += [ResidualBlock(channels_of_stage, batch_norm=True) for _ in range(blocks)]
            channels = channels_of_stage
            height, width = (height + 1) // 2, (width + 1) // 2
        self.map_size = (height, width)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(channels * height * width, embedding_size, bias=not feature_norm)
        self.norm = nn.BatchNorm1d(embedding_size) if feature_norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W)
        x = self.features(x)  # (N, widths[-1], H / 2^stages, W / 2^stages)
        if x.shape[2:] != self.map_size:  # crops of another size, by progressive resizing
            x = F.interpolate(x, self.map_size, mode="nearest")
        return self.norm(self.dense(self.dropout(x.flatten(1))))  # (N, d)

    def fold(self) -> Self:
        super().fold()
        if isinstance(self.norm, nn.BatchNorm1d):
            self.dense = nn.utils.fusion.fuse_linear_bn_eval(self.dense, self.norm)
            self.norm = nn.Identity()
        return self
