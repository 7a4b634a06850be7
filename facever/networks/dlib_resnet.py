"""The layout of dlib's face network."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, checked, require
from facever.networks.registry import register


class DlibBlock(nn.Module):
    """relu(shortcut + two 3x3 convolutions); a `down` block halves the resolution."""

    def __init__(self, channels_in: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.first = nn.Conv2d(channels_in, channels, 3, 2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W)
        y = self.second(F.relu(self.first(x), inplace=True))
        if not self.down:
            return F.relu(x + y, inplace=True)
        x = F.avg_pool2d(x, 2)
        # dlib adds tensors of unequal size as if the smaller had zeros at its end: channels of x, pixels of y.
        height, width = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
        x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, y.shape[1] - x.shape[1]))
        y = F.pad(y, (0, width - y.shape[3], 0, height - y.shape[2]))
        return F.relu(x + y, inplace=True)


@register("resnet29")
class ResNet29(EmbeddingNetwork):
    """dlib's face network, each affine map folded into the convolution before it: 5,607,488 parameters."""

    STAGES = (
        (32, 3),
        (64, 4),
        (128, 3),
        (256, 3),
        (256, 1),
    )  # channels, blocks; all but the first stage begin with down

    def __init__(self, embedding_size: int = 128, input_size: Sequence[int] = (150, 150)) -> None:
        super().__init__()
        height, width = checked(embedding_size, input_size)
        # 103 -> 49 (stem) -> 24 (pool) -> 12 -> 6 -> 3 (blocks), the least that a 3x3 kernel without padding takes.
        require(min(height, width) >= 103, f"six halvings without padding need 103 pixels, not {input_size}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks, channels = [], 32
        for i, (channels_of_stage, count) in enumerate(self.STAGES):
            for j in range(count):
                blocks.append(DlibBlock(channels, channels_of_stage, down=i > 0 and j == 0))
                channels = channels_of_stage
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(channels, embedding_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 150, 150)
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2)  # (N, 32, 35, 35)
        x = self.blocks(x)  # (N, 256, 2, 2)
        return self.dense(x.mean((2, 3)))  # (N, 128)
