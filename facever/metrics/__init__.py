"""Verification metrics: numbers in, figures out. No photographs, no networks.

Any model can be evaluated with these: they take scores, or embeddings and identities.
"""

from facever.metrics.all_pairs import pairwise_cosines
from facever.metrics.folds import best_threshold, cross_validated_accuracy, standard_error
from facever.metrics.rates import d_prime, equal_error_rate, frr_at_far, tar_at_far
from facever.metrics.verification import REPORTED_FARS, VerificationResult, verification_result

__all__ = [
    "REPORTED_FARS",
    "VerificationResult",
    "best_threshold",
    "cross_validated_accuracy",
    "d_prime",
    "equal_error_rate",
    "frr_at_far",
    "pairwise_cosines",
    "standard_error",
    "tar_at_far",
    "verification_result",
]
