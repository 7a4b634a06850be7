"""One loss for each branch of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facever.losses.center import CenterLoss
from facever.losses.softmax import LossOutput, Softmax


class BranchLoss(nn.Module):
    """The mean of one loss per branch, for a network that concatenates several features.

    Parameters
    ----------
    losses : sequence of losses, one per branch, all over features of the same size
    """

    def __init__(self, losses: Sequence[Softmax | CenterLoss]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    @property
    def alpha_value(self) -> float:
        """The first branch's alpha."""
        return self._each()[0].alpha_value

    def describe(self) -> list[str]:
        return self._each()[0].describe()

    def constrain(self) -> None:
        for loss in self._each():
            loss.constrain()

    def _each(self) -> list[Softmax | CenterLoss]:
        return list(self.losses)  # type: ignore[arg-type]

    def forward(self, features: Tensor, labels: Tensor) -> LossOutput:  # (M, d), (M,)
        parts = features.chunk(len(self.losses), dim=1)
        outputs = [loss(part, labels) for loss, part in zip(self._each(), parts, strict=True)]
        loss = torch.stack([output.loss for output in outputs]).mean()
        logits = torch.stack([output.logits for output in outputs]).mean(0)
        return LossOutput(loss, logits)
