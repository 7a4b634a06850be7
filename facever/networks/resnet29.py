"""The layout of dlib's face network, and a twin that grows out of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, checked, require


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


class ResNet29Twin(EmbeddingNetwork):
    """`resnet29` with its last two stages twice, each with a dense layer: two features that are joined.

    Each branch's feature is scaled to length 1, and the centre of its initial features, which lie in a narrow cone, is
    taken out, wholly or in part. Both are again scaled to length 1 and joined, so that the cosine of two joined
    features is the weighted mean of the branches' cosines. (All of the centre taken out makes much of the little that
    unclear photographs say; none leaves strangers on unclear photographs too alike. See models/default.md.)

    Parameters
    ----------
    embedding_size : int
        Of both branches together.
    second_share : float in (0, 1)
        The weight of the second branch in the cosine.
    centred : two floats in [0, 1]
        The part of the centre that is taken out of each branch.
    """

    centres: Tensor  # (branches, d / branches)

    TRUNK = sum(blocks for _, blocks in ResNet29.STAGES[:3])  # how many blocks both branches share
    branches = 2

    def __init__(
        self,
        embedding_size: int = 256,
        input_size: Sequence[int] = (150, 150),
        second_share: float = 0.5,
        centred: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        require(embedding_size % self.branches == 0, f"two branches share an embedding of {embedding_size} unevenly")
        require(0 < second_share < 1, f"the second branch's share is in (0, 1), not {second_share}")
        parts = tuple(float(part) for part in centred)
        require(
            len(parts) == self.branches and all(0 <= part <= 1 for part in parts),
            f"the parts of the centre that are taken out are two numbers in [0, 1], not {centred}",
        )
        half = embedding_size // self.branches
        single = ResNet29(half, input_size)
        self.embedding_size, self.input_size = embedding_size, single.input_size
        self.lengths = (math.sqrt(1 - second_share), math.sqrt(second_share))
        self.centred = parts
        self.stem, self.trunk = single.stem, single.blocks[: self.TRUNK]
        rest = single.blocks[self.TRUNK :]
        self.tails = nn.ModuleList(copy.deepcopy(rest) for _ in range(self.branches))
        self.dense = nn.ModuleList(copy.deepcopy(single.dense) for _ in range(self.branches))
        self.register_buffer("centres", torch.zeros(self.branches, half))

    @torch.no_grad()
    def grow_from(self, single: ResNet29, centre: Tensor) -> None:
        """Begin with the parameters of a single network, and of the mean (d,) of its unit features."""
        self.stem.load_state_dict(single.stem.state_dict())
        self.trunk.load_state_dict(single.blocks[: self.TRUNK].state_dict())
        for tail, dense in zip(self.tails, self.dense, strict=True):
            tail.load_state_dict(single.blocks[self.TRUNK :].state_dict())
            dense.load_state_dict(single.dense.state_dict())
        self.centres.copy_(centre.expand_as(self.centres))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 150, 150) -> (N, d), of length 1
        x = self.trunk(F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2))  # (N, 128, 8, 8)
        joined = []
        branches = zip(self.tails, self.dense, self.centres, self.centred, self.lengths, strict=True)
        for tail, dense, centre, part, length in branches:
            feature = F.normalize(dense(tail(x).mean((2, 3))).float())
            joined.append(length * F.normalize(feature - part * centre))
        return torch.cat(joined, 1)
