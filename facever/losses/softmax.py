"""Softmax and L2-constrained softmax: the main idea.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.

    minimize  -1/M sum_i log softmax(W (alpha f_i / |f_i|) + b)[y_i]

M features f of d components in a batch, C identities. Plain softmax leaves out the scaling to the radius alpha.
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
BOUND_P = 0.9


def alpha_lower_bound(num_classes: int, p: float = BOUND_P) -> float:
    """The least alpha at which the right class can reach probability p: log(p (C - 2) / (1 - p)).

    Ranjan et al. 2017, section 4.3, eq. 8: for C unit vectors as far apart as possible.

    Raises
    ------
    ValueError
        Unless C > 2 and 0 < p < 1.

    Examples
    --------
    >>> round(alpha_lower_bound(3775), 2)
    10.43
    """
    if num_classes <= 2:
        raise ValueError(f"the bound holds for more than 2 classes, not {num_classes}")
    if not 0 < p < 1:
        raise ValueError(f"p is a probability between 0 and 1, not {p}")
    return math.log(p * (num_classes - 2) / (1 - p))


def check_alpha(alpha: float, learned: bool = False, bound: float | None = None) -> None:
    """Raise ValueError unless alpha is positive and a bound, a probability, comes with a learned alpha only."""
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha is the radius of a sphere and must be positive, not {alpha}")
    if bound is not None and not learned:
        raise ValueError(f"alpha_bound is for a learned alpha, and alpha is fixed at {alpha:g}")
    if bound is not None and not 0 < bound < 1:
        raise ValueError(f"alpha_bound is a probability between 0 and 1, not {bound}")


def parse_alpha(text: str) -> tuple[float, bool]:
    """(alpha, learned) from a number or "learned". Raises ValueError for anything else.

    Examples
    --------
    >>> parse_alpha("16"), parse_alpha("learned")
    ((16.0, False), (4.0, True))
    """
    if text == "learned":
        return ALPHA_START, True
    try:
        alpha = float(text)
    except ValueError:
        raise ValueError(f"alpha is a number or 'learned', not {text!r}") from None
    check_alpha(alpha)
    return alpha, False


def l2_normalize(features: Tensor) -> Tensor:
    """Features (..., d) scaled to unit length, eps 1e-12 under the root; a zero vector stays zero.

    Examples
    --------
    >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return features * torch.rsqrt(features.square().sum(-1, keepdim=True) + EPSILON)


@dataclass(frozen=True, slots=True)
class LossOutput:
    """`loss` is the scalar to minimize, the mean over the batch; `logits` (M, C) are the classifier's."""

    loss: Tensor
    logits: Tensor


class Softmax(nn.Module):
    """Softmax cross-entropy over a linear classifier W f + b."""

    def __init__(self, embedding_size: int, num_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a classifier needs at least 2 identities, not {num_classes}")
        self.classifier = nn.Linear(embedding_size, num_classes)
        self.label_smoothing = label_smoothing

    @property
    def alpha_value(self) -> float:
        """The current alpha; NaN for a loss without one."""
        return math.nan

    def describe(self) -> list[str]:
        """What a user should know about this loss before it trains, a line each."""
        return []

    def scaled(self, features: Tensor) -> Tensor:  # (M, d) -> (M, d)
        """The features as the classifier sees them."""
        return features

    def constrain(self) -> None:
        """Keep parameters within their bounds; call it after every optimizer step."""

    def forward(self, features: Tensor, labels: Tensor) -> LossOutput:  # (M, d), (M,)
        logits = self.classifier(self.scaled(features))  # (M, C)
        # Half precision is too coarse for the exponentials of logits near alpha = 64.
        loss = F.cross_entropy(_precise(logits), labels, label_smoothing=self.label_smoothing)
        return LossOutput(loss, logits)


class L2Softmax(Softmax):
    """Softmax over features on the hypersphere of radius alpha. Ranjan et al. 2017, eq. 3 to 5.

    Parameters
    ----------
    alpha : float, > 0
        The radius; its start if it is learned.
    learned : bool
        Whether alpha is a parameter.
    alpha_bound : float, optional
        A probability p: a learned alpha stays at or above `alpha_lower_bound(num_classes, p)`, to float32's rounding.

    Raises
    ------
    ValueError
        By `check_alpha`; and for a bound with C <= 2.
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
        check_alpha(alpha, learned, alpha_bound)
        self.learned, self.p = learned, BOUND_P if alpha_bound is None else alpha_bound
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

    def describe(self) -> list[str]:
        """alpha beside its lower bound, with a warning where a fixed alpha lies below."""
        classes = self.classifier.out_features
        if classes <= 2:
            return []
        bound = alpha_lower_bound(classes, self.p)
        kind = "learned from" if self.learned else "fixed at"
        enforced = "" if self.alpha_low is None else ", enforced"
        alpha = self.alpha_value
        lines = [f"alpha {kind} {alpha:.4g}; lower bound for C = {classes}, p = {self.p:g}: {bound:.2f}{enforced}"]
        if alpha < bound and not self.learned:
            lines.append(f"warning: alpha {alpha:g} lies below the bound; no class can reach probability {self.p:g}")
        return lines

    @torch.no_grad()
    def constrain(self) -> None:
        """Raise a learned alpha to its lower bound, if it has one."""
        if self.alpha_low is not None:
            self.alpha.clamp_(min=self.alpha_low)

    def scaled(self, features: Tensor) -> Tensor:  # (M, d) -> (M, d), of length alpha
        return self.alpha * l2_normalize(_precise(features))  # half precision would lose eps


def _precise(values: Tensor) -> Tensor:
    """float32, or float64 for gradient checks."""
    return values if values.dtype == torch.float64 else values.float()
