"""Losses over features and identity labels: softmax, L2-constrained softmax, center loss."""

from facever.losses.branches import BranchLoss
from facever.losses.center import CENTER_RATE, CENTER_WEIGHT, CenterLoss, center_steps
from facever.losses.softmax import (
    ALPHA_START,
    EPSILON,
    L2Softmax,
    LossOutput,
    Softmax,
    alpha_lower_bound,
    check_alpha,
    l2_normalize,
    parse_alpha,
)

__all__ = [
    "ALPHA_START",
    "CENTER_RATE",
    "CENTER_WEIGHT",
    "EPSILON",
    "BranchLoss",
    "CenterLoss",
    "IdentityLoss",
    "L2Softmax",
    "LossOutput",
    "Softmax",
    "alpha_lower_bound",
    "center_steps",
    "check_alpha",
    "l2_normalize",
    "parse_alpha",
]

IdentityLoss = Softmax | CenterLoss | BranchLoss
