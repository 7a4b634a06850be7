"""dlib's network with its last stages doubled."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.networks.base import EmbeddingNetwork, require
from facever.networks.dlib_resnet import ResNet29


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
