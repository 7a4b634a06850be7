"""The losses over features and identities.

R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, 2016.

M features of d components in a batch, C identities.
"""

from facever.losses.branches import BranchLoss
from facever.losses.center import CENTER_RATE, CENTER_WEIGHT, CenterLoss, center_steps
from facever.losses.softmax import ALPHA_START, EPSILON, L2Softmax, LossOutput, Softmax, alpha_lower_bound, l2_normalise

__all__ = [
    "ALPHA_START",
    "CENTER_RATE",
    "CENTER_WEIGHT",
    "EPSILON",
    "BranchLoss",
    "CenterLoss",
    "L2Softmax",
    "LossOutput",
    "Softmax",
    "alpha_lower_bound",
    "center_steps",
    "l2_normalise",
]
