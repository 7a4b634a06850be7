"""The losses over features and identities.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, 2016.

M features of d components in a batch, C identities.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from facever.losses.softmax import LossOutput, Softmax

# The lambda and the alpha (rate of the centres) that Wen et al. 2016 settle on in their experiments.
CENTER_WEIGHT = 0.003
CENTER_RATE = 0.5


def center_steps(centers: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """What each example contributes to the step of its centre: (x_i - c_y) / (1 + n_y), n_y its count in the batch.

    Wen et al. 2016, eq. 4: summed over the examples of identity j they are -(delta c_j); the 1 keeps the step of an
    identity with a single example from being the whole way.

    Parameters
    ----------
    centers : Tensor of shape (C, d)
    features : Tensor of shape (M, d)
    labels : int64 Tensor of shape (M,)

    Returns
    -------
    Tensor of shape (M, d)
    """
    counts = (labels[:, None] == labels).sum(1)  # (M,): n_y of each example
    return (features - centers[labels]) / (1 + counts)[:, None]


class CenterLoss(nn.Module):
    """A softmax loss that also draws each feature to the centre of its identity.

    base + weight/2 · 1/M sum_i |x_i - c_{y_i}|². Wen et al. 2016, eq. 2 to 5. They sum both terms over the batch; here
    both are means over it, so that the weight between them (their lambda) is the same.

    x is what the base's classifier sees, `base.scaled(features)`: the feature itself for `Softmax`, and alpha f/|f|
    for `L2Softmax`, as Ranjan et al. 2017 join the two: what is drawn together is the direction, by which faces are
    compared. (A learned alpha is then drawn down as well, since on a smaller sphere all distances are smaller.)

    Centres are no parameters: they start at zero, and every batch in training mode moves those of its identities
    by rate · sum_{y_i = j} (x_i - c_j) / (1 + n_j), after its loss was taken. They are part of the state.

    Parameters
    ----------
    base : Softmax
        Or a subclass: the loss that is joined.
    weight : float, >= 0
    rate : float in (0, 1]
        Of the centres' steps (the paper's alpha).
    """

    centers: Tensor  # (C, d)

    def __init__(self, base: Softmax, weight: float = CENTER_WEIGHT, rate: float = CENTER_RATE) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of the center loss is a number from 0 on, not {weight}")
        if not 0 < rate <= 1:
            raise ValueError(f"the rate of the centres is above 0 and at most 1, not {rate}")
        self.base, self.weight, self.rate = base, weight, rate
        self.register_buffer("centers", torch.zeros_like(base.classifier.weight))

    @property
    def classifier(self) -> nn.Linear:
        return self.base.classifier

    @property
    def alpha_value(self) -> float:
        return self.base.alpha_value

    def scaled(self, features: Tensor) -> Tensor:  # (M, d) -> (M, d)
        return self.base.scaled(features)

    def constrain(self) -> None:
        self.base.constrain()

    def forward(self, features: Tensor, labels: Tensor) -> LossOutput:  # (M, d), (M,)
        output = self.base(features, labels)
        x = self.scaled(features)
        # In float32 whatever the features are, since the centres are. What is indexed is a copy: the centres' change
        # below does not reach what the gradient needs.
        distances = (x - self.centers[labels]).square().sum(1)  # (M,)
        if self.training:
            self._move_centers(x.detach(), labels)
        return LossOutput(output.loss + self.weight / 2 * distances.mean(), output.logits)

    @torch.no_grad()
    def _move_centers(self, x: Tensor, labels: Tensor) -> None:
        # Only rows of the batch are touched: with many identities, most are absent from it.
        x, labels = _of_all_processes(x), _of_all_processes(labels)
        steps = center_steps(self.centers, x, labels).to(self.centers.dtype)
        self.centers.index_add_(0, labels, steps, alpha=self.rate)


def _of_all_processes(part: Tensor) -> Tensor:
    """The batch of all processes that train together, from each one's equal part."""
    if not (dist.is_available() and dist.is_initialized()):
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)
