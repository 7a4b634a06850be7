"""What all networks have in common, and how their arguments are checked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


class EmbeddingNetwork(nn.Module):
    """What all networks here have in common.

    Attributes
    ----------
    embedding_size : int
        d, the number of components of the feature.
    input_size : (int, int)
        Height and width of the crops.
    branches : int
        Of how many features of equal size, each with a classifier of its own in training, the feature is joined.
    """

    embedding_size: int
    input_size: tuple[int, int]
    branches: int = 1

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, d)
        raise NotImplementedError


def checked(embedding_size: int, input_size: Sequence[int]) -> tuple[int, int]:
    require(embedding_size >= 1, f"an embedding needs at least one component, not {embedding_size}")
    require(len(input_size) == 2, f"input_size is (height, width), not {tuple(input_size)}")
    height, width = (int(side) for side in input_size)
    require(min(height, width) >= 16, f"crops of at least 16x16 pixels are needed, not {height}x{width}")
    return height, width
