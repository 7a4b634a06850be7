"""The losses over features and identities.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, 2016.

M features of d components in a batch, C identities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

# The values of the authors' code.
ALPHA_START = 4.0
EPSILON = 1e-12
# The lambda and the alpha (rate of the centres) that Wen et al. 2016 settle on in their experiments.
CENTER_WEIGHT = 0.003
CENTER_RATE = 0.5


def alpha_lower_bound(num_classes: int, p: float = 0.9) -> float:
    """The least alpha at which a right class can reach probability p: log(p (C - 2) / (1 - p)).

    Ranjan et al. 2017, section 4.3, eq. 8: C unit vectors as far apart as they can be.

    Raises
    ------
    ValueError
        Unless C > 2 and 0 < p < 1.
    """
    if num_classes <= 2:
        raise ValueError(f"the bound holds for more than 2 classes, not {num_classes}")
    if not 0 < p < 1:
        raise ValueError(f"p is a probability between 0 and 1, not {p}")
    return math.log(p * (num_classes - 2) / (1 - p))


def l2_normalise(features: Tensor) -> Tensor:
    """Features (..., d) scaled to length 1, eps 1e-12 under the root; a zero vector stays zero."""
    return features * torch.rsqrt(features.square().sum(-1, keepdim=True) + EPSILON)


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


@dataclass(frozen=True, slots=True)
class LossOutput:
    """`loss` is the scalar to minimise, the mean over the batch; `logits` (M, C) are what the classifier said."""

    loss: Tensor
    logits: Tensor


class Softmax(nn.Module):
    """Plain softmax cross-entropy over a linear classifier W f + b."""

    def __init__(self, embedding_size: int, num_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a classifier needs at least 2 identities, not {num_classes}")
        self.classifier = nn.Linear(embedding_size, num_classes)
        self.label_smoothing = label_smoothing

    @property
    def alpha_value(self) -> float:
        """Not a number: this loss has no alpha."""
        return math.nan

    def scaled(self, features: Tensor) -> Tensor:  # (M, d) -> (M, d)
        return features

    def constrain(self) -> None:
        """To be called after each step of the optimiser; here there is nothing to keep within bounds."""

    def forward(self, features: Tensor, labels: Tensor) -> LossOutput:  # (M, d), (M,)
        logits = self.classifier(self.scaled(features))  # (M, C)
        # The exponentials of half-precision logits near alpha = 64 are too coarse.
        loss = F.cross_entropy(_precise(logits), labels, label_smoothing=self.label_smoothing)
        return LossOutput(loss, logits)


class L2Softmax(Softmax):
    """Softmax over features on the hypersphere of radius alpha: -1/M sum log softmax(W (alpha f/|f|) + b)[y].

    Ranjan et al. 2017, eq. 3 to 5.

    Parameters
    ----------
    alpha : float, > 0
        The radius, or where it starts when it is learned.
    learned : bool
        Whether alpha is a parameter like the others (weight decay included).
    alpha_bound : float, optional
        A probability p: a learned alpha starts at, and by `constrain` stays at, no less than `alpha_lower_bound` of
        `num_classes` and p (to float32's rounding).

    Raises
    ------
    ValueError
        If alpha is not positive, or a bound is given to a fixed alpha, for C <= 2, or with p outside (0, 1).
    """

    def __init__(
        self,
        embedding_size: int,
        num_classes: int,
        alpha: float = ALPHA_START,
        learned: bool = False,
        label_smoothing: float = 0.0,
        alpha_bound: float | None = None,
    ) -> None:
        super().__init__(embedding_size, num_classes, label_smoothing)
        if not alpha > 0:
            raise ValueError(f"alpha is the radius of a sphere and must be positive, not {alpha}")
        if alpha_bound is not None and not learned:
            raise ValueError(f"alpha_bound is for a learned alpha, and this one is fixed at {alpha:g}")
        self.alpha_low = None if alpha_bound is None else alpha_lower_bound(num_classes, alpha_bound)
        value = torch.tensor(float(alpha))
        if learned:
            self.alpha: Tensor = nn.Parameter(value)
        else:
            self.register_buffer("alpha", value)
        self.constrain()

    @property
    def alpha_value(self) -> float:
        return float(self.alpha.detach())

    @torch.no_grad()
    def constrain(self) -> None:
        """Lift a learned alpha to its lower bound, if it has one and fell below."""
        if self.alpha_low is not None:
            self.alpha.clamp_(min=self.alpha_low)

    def scaled(self, features: Tensor) -> Tensor:
        return self.alpha * l2_normalise(_precise(features))  # half precision would lose eps


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


class BranchLoss(nn.Module):
    """The mean of one loss for each branch of a network whose feature is joined of several.

    Parameters
    ----------
    losses : sequence of as many losses as the network has branches, all over features of the same size
    """

    def __init__(self, losses: Sequence[Softmax | CenterLoss]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    @property
    def alpha_value(self) -> float:
        """That of the first branch."""
        return next(iter(self._each())).alpha_value

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


def _of_all_processes(part: Tensor) -> Tensor:
    """The batch of all processes that train together, from each one's equal part."""
    if not (dist.is_available() and dist.is_initialized()):
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def _precise(values: Tensor) -> Tensor:
    """In float32, or in double precision if they came so, for gradient checks."""
    return values if values.dtype == torch.float64 else values.float()
