"""Center loss, joined with softmax or L2-softmax.

Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, 2016.

M features of d components in a batch, C identities.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from facever.losses.softmax import LossOutput, Softmax

# lambda, and the step size of the centers (their alpha), of the experiments in Wen et al. 2016.
CENTER_WEIGHT = 0.003
CENTER_RATE = 0.5


def center_steps(centers: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Each example's contribution to the step of its center: (x_i - c_y) / (1 + n_y), n_y its count in the batch.

    Wen et al. 2016, eq. 4: summed over the examples of identity j, they give -(delta c_j). The 1 keeps a single example
    from moving its center all the way.

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
    """A softmax loss that also pulls each feature towards its identity's center.

    base + weight/2 · 1/M sum_i |x_i - c_{y_i}|². Wen et al. 2016, eq. 2 to 5. They sum both terms over the batch; here
    both are means, which leaves the weight between them (their lambda) the same.

    x is what the base's classifier sees, `base.scaled(features)`: the feature itself for `Softmax`, alpha f/|f| for
    `L2Softmax`, as in Ranjan et al. 2017, since faces are compared by direction. (A learned alpha shrinks as well:
    distances are smaller on a smaller sphere.)

    Centers are state, not parameters. They start at zero; in training mode every batch moves those of its identities
    by rate · sum_{y_i = j} (x_i - c_j) / (1 + n_j), after the loss is computed.

    Parameters
    ----------
    base : Softmax
    weight : float, >= 0
    rate : float in (0, 1]
        Step size of the centers (the paper's alpha).
    gather : callable
        From the part (m, ...) of a batch that this process holds to the whole batch (M, ...), for a training on several
        processes.
    """

    centers: Tensor  # (C, d)

    def __init__(
        self,
        base: Softmax,
        weight: float = CENTER_WEIGHT,
        rate: float = CENTER_RATE,
        gather: Callable[[Tensor], Tensor] = lambda part: part,
    ) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"center_weight is at least 0 and finite, not {weight}")
        if not 0 < rate <= 1:
            raise ValueError(f"center_rate is above 0 and at most 1, not {rate}")
        self.base, self.weight, self.rate, self.gather = base, weight, rate, gather
        self.register_buffer("centers", torch.zeros_like(base.classifier.weight))

    def describe(self) -> list[str]:
        return self.base.describe()

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
        # float32, as the centers are. Indexing copies, so that moving the centers below leaves the gradient intact.
        distances = (x - self.centers[labels]).square().sum(1)  # (M,)
        if self.training:
            self._move_centers(x.detach(), labels)
        return LossOutput(output.loss + self.weight / 2 * distances.mean(), output.logits)

    @torch.no_grad()
    def _move_centers(self, x: Tensor, labels: Tensor) -> None:
        # Only the batch's rows: most identities are absent from it.
        x, labels = self.gather(x), self.gather(labels)
        steps = center_steps(self.centers, x, labels).to(self.centers.dtype)
        self.centers.index_add_(0, labels, steps, alpha=self.rate)
