"""What all networks have in common, and how their arguments are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from facever.networks.fold import fold_batch_norm


def require(condition: bool, message: str) -> None:
    """Raise ValueError with this message unless the condition holds."""
    if not condition:
        raise ValueError(message)


class EmbeddingNetwork(nn.Module):
    """A network from crops to features: (N, 3, H, W) normalized pixels -> (N, d).

    Attributes
    ----------
    embedding_size : int
        d, the number of components of the feature.
    input_size : (int, int)
        Height and width of the crops.
    branches : int
        How many features of equal size are concatenated; in training each has a classifier of its own.
    native : bool
        Whether torch computes it, so that it can be trained, exported, and run in bfloat16.
    """

    embedding_size: int
    input_size: tuple[int, int]
    branches: int = 1
    native: bool = True

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, d)
        raise NotImplementedError

    def fold(self) -> Self:
        """Fold batch normalization into the layers before it, in place, for inference: same features, less work."""
        fold_batch_norm(self.eval())
        return self

    def ready(self) -> Self:
        """Prepare for inference what is not torch's, once the parameters are there and on their device.

        Raises ValueError if they can't be used.
        """
        return self

    @torch.no_grad()
    def start_from(self, initial: EmbeddingNetwork, mean_embedding: Callable[[], Tensor]) -> Tensor:
        """Take the parameters of a trained network.

        Parameters
        ----------
        initial : EmbeddingNetwork
        mean_embedding : callable
            Computes the mean unit embedding (d,) of the initial network over the training crops, where it is needed.

        Returns
        -------
        Tensor of shape (d,)
            The part of the mean embedding that this network subtracts from its features; zeros here.

        Raises
        ------
        ValueError
            If the parameters are not those of this network.
        """
        try:
            self.load_state_dict(initial.state_dict())
        except RuntimeError as error:
            raise ValueError("its parameters are those of another network") from error
        return next(initial.parameters()).new_zeros(initial.embedding_size)


def checked(embedding_size: int, input_size: Sequence[int]) -> tuple[int, int]:
    """Height and width, if they and the embedding's size make sense. Raises ValueError."""
    require(embedding_size >= 1, f"an embedding needs at least one component, not {embedding_size}")
    require(len(input_size) == 2, f"input_size is (height, width), not {tuple(input_size)}")
    height, width = (int(side) for side in input_size)
    require(min(height, width) >= 16, f"crops of at least 16x16 pixels are needed, not {height}x{width}")
    return height, width
