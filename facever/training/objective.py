"""The objective of a training step: the loss over identities, distillation and anchor."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from facever.losses import LossOutput
from facever.networks import EmbeddingNetwork
from facever.training.distillation.anchor import anchor_loss
from facever.training.distillation.teacher import DistillationLoss
from facever.training.initial import Initial
from facever.training.settings import TrainingSettings


class Objective(nn.Module):
    """Network, loss over identities, distillation and anchor, as one module.

    One module, so that the wrapper that averages gradients over processes sees all parameters.

    Parameters
    ----------
    settings : TrainingSettings
        For the weights of the terms.
    network : EmbeddingNetwork
    loss : Module
        From features and labels to `LossOutput`.
    distillation : DistillationLoss, optional
    targets : Tensor of shape (m, k), optional
        The teacher's embeddings.
    initial : Initial, optional
    anchor : Tensor of shape (m,)
        Weight of the anchor on each crop.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        network: EmbeddingNetwork,
        loss: nn.Module,
        distillation: DistillationLoss | None,
        targets: Tensor | None,
        initial: Initial | None,
        anchor: Tensor,
    ) -> None:
        super().__init__()
        self.settings, self.network, self.loss, self.distillation = settings, network, loss, distillation
        # Not buffers: they are constant and need not be sent between processes.
        self._fixed = (targets, initial, anchor)
        self._run: list[Callable[[Tensor], Tensor]] = [network]  # in a list, so as not to register it twice

    def run_by(self, forward: Callable[[Tensor], Tensor]) -> None:
        """Compute features by `forward`, a compiled form of the network."""
        self._run = [forward]

    def forward(self, x: Tensor, labels: Tensor, rows: Tensor) -> LossOutput:  # (N, 3, H, W), (M,), (N,)
        """The first M of the N crops have an identity; the others are mixup, supervised only by the teacher."""
        s = self.settings
        targets, initial, anchor = self._fixed
        features = self._run[0](x)
        output = self.loss(features[: len(labels)], labels)
        total = output.loss
        if self.distillation is not None and targets is not None:
            total = s.softmax_weight * total + s.teacher_weight * self.distillation(features, targets[rows])
        if initial is not None and s.anchor:
            wanted = initial.targets(x, rows if s.anchor_view == "clean" else None)
            total = total + anchor_loss(features, wanted, anchor[rows], s.anchor_branches)
        return LossOutput(total, output.logits)
