"""The losses over features and identities.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.

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

    def forward(self, features: Tensor, labels: Tensor) -> LossOutput:  # (M, d), (M,)
        logits = self.classifier(self.scaled(features))  # (M, C)
        # In float32: the exponentials of half-precision logits near alpha = 64 are too coarse.
        precise = logits if logits.dtype == torch.float64 else logits.float()
        loss = F.cross_entropy(precise, labels, label_smoothing=self.label_smoothing)
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
    """

    def __init__(
        self,
        embedding_size: int,
        num_classes: int,
        alpha: float = ALPHA_START,
        learned: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(embedding_size, num_classes, label_smoothing)
        if not alpha > 0:
            raise ValueError(f"alpha is the radius of a sphere and must be positive, not {alpha}")
        value = torch.tensor(float(alpha))
        if learned:
            self.alpha: Tensor = nn.Parameter(value)
        else:
            self.register_buffer("alpha", value)

    @property
    def alpha_value(self) -> float:
        return float(self.alpha.detach())

    def scaled(self, features: Tensor) -> Tensor:
        # Keeps double precision for gradient checks; half precision would lose eps.
        features = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
        return self.alpha * l2_normalise(features)
