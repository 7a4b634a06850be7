"""dlib's network with its last stages doubled."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, require
from facever.networks.dlib_resnet import ResNet29
from facever.networks.registry import register


@register("resnet29_twin")
class ResNet29Twin(EmbeddingNetwork):
    """`resnet29` with its last two stages doubled, each with a dense layer; the two features are concatenated.

    dlib's embeddings lie in a narrow cone. Each branch scales its feature to unit length, subtracts the mean of the
    initial features, or a part of it, and scales again. The cosine of two concatenated features is then the weighted
    mean of the branches' cosines. Subtracting all of the mean amplifies noise on unclear photographs; subtracting none
    leaves strangers on unclear photographs too alike. See records/dlib-twin/card.md.

    Parameters
    ----------
    embedding_size : int
        d, of both branches together.
    second_share : float in (0, 1)
        The weight of the second branch in the cosine.
    centered : two floats in [0, 1]
        The part of the mean that each branch subtracts.
    """

    centers: Tensor  # (branches, d / branches)

    TRUNK = sum(blocks for _, blocks in ResNet29.STAGES[:3])  # how many blocks both branches share
    branches = 2

    def __init__(
        self,
        embedding_size: int = 256,
        input_size: Sequence[int] = (150, 150),
        second_share: float = 0.5,
        centered: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        require(embedding_size % self.branches == 0, f"two branches share an embedding of {embedding_size} unevenly")
        require(0 < second_share < 1, f"second_share is in (0, 1), not {second_share}")
        parts = tuple(float(part) for part in centered)
        require(
            len(parts) == self.branches and all(0 <= part <= 1 for part in parts),
            f"centered is two numbers in [0, 1], not {centered}",
        )
        half = embedding_size // self.branches
        single = ResNet29(half, input_size)
        self.embedding_size, self.input_size = embedding_size, single.input_size
        self.lengths = (math.sqrt(1 - second_share), math.sqrt(second_share))
        self.centered = parts
        self.stem, self.trunk = single.stem, single.blocks[: self.TRUNK]
        rest = single.blocks[self.TRUNK :]
        self.tails = nn.ModuleList(copy.deepcopy(rest) for _ in range(self.branches))
        self.dense = nn.ModuleList(copy.deepcopy(single.dense) for _ in range(self.branches))
        self.register_buffer("centers", torch.zeros(self.branches, half))

    @torch.no_grad()
    def start_from(self, initial: EmbeddingNetwork, mean_embedding: Callable[[], Tensor]) -> Tensor:
        """Start from `resnet29`, both branches alike, or from a twin. Returns the mean that the first one subtracts."""
        if not isinstance(initial, ResNet29):
            return super().start_from(initial, mean_embedding)
        self.stem.load_state_dict(initial.stem.state_dict())
        self.trunk.load_state_dict(initial.blocks[: self.TRUNK].state_dict())
        for tail, dense in zip(self.tails, self.dense, strict=True):
            tail.load_state_dict(initial.blocks[self.TRUNK :].state_dict())
            dense.load_state_dict(initial.dense.state_dict())
        self.centers.copy_(mean_embedding().expand_as(self.centers))
        return self.centered[0] * self.centers[0]

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 150, 150) -> (N, d), of unit length
        x = self.trunk(F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2))  # (N, 128, 8, 8)
        joined = []
        branches = zip(self.tails, self.dense, self.centers, self.centered, self.lengths, strict=True)
        for tail, dense, center, part, length in branches:
            feature = F.normalize(dense(tail(x).mean((2, 3))).float())
            joined.append(length * F.normalize(feature - part * center))
        return torch.cat(joined, 1)
