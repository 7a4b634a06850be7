"""The losses over features and identities.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, 2016.

M features of d components in a batch, C identities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The values of the authors' code.
ALPHA_START = 4.0
EPSILON = 1e-12


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


def _precise(values: Tensor) -> Tensor:
    """In float32, or in double precision if they came so, for gradient checks."""
    return values if values.dtype == torch.float64 else values.float()
